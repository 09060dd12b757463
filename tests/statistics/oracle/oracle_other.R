# Golden numbers of everything but the mixed models: rstatix, psych, car and base R on data simulated here.
# Run: Rscript tests/statistics/oracle/oracle_other.R > tests/statistics/oracle/golden_other.json
# R >= 4.2 with jsonlite, psych, car, rstatix (Debian: r-cran-jsonlite r-cran-psych r-cran-car r-cran-rstatix).
suppressMessages({library(jsonlite); library(psych); library(car); library(rstatix)})
options(contrasts = c("contr.treatment", "contr.poly"))

CONSTRUCTS <- c("one", "two", "three", "four")

study <- function(seed, people, trials, conditions, points, drop) {
  set.seed(seed)
  d <- expand.grid(trial = seq_len(trials), participant = seq_len(people))
  d$condition <- LETTERS[1 + (seq_len(nrow(d)) - 1) %% conditions]
  d$item <- 1 + ((seq_len(nrow(d)) - 1) %/% conditions) %% 9
  level <- rnorm(people)[d$participant] + 0.4 * (d$condition == "B")
  for (k in seq_along(CONSTRUCTS)) {
    latent <- 0.8 * level + 0.2 * k * (d$condition == "C") + rlogis(nrow(d))
    cuts <- quantile(latent, seq_len(points - 1) / points)
    d[[CONSTRUCTS[k]]] <- 1 + findInterval(latent, cuts)
  }
  d$length <- sample(50:300, nrow(d), TRUE)
  d$age <- c("young", "middle", "old")[1 + (d$participant %% 3)]
  d <- d[!seq_len(nrow(d)) %in% sample(nrow(d), drop), ]
  d$quality <- rowMeans(d[CONSTRUCTS])
  d
}

one_factor <- function(R) {  # minimum residuals, to the machine's precision
  residual <- function(l) { r <- tcrossprod(l) - R; sum(r[upper.tri(r)]^2) }
  gradient <- function(l) { r <- tcrossprod(l) - R; diag(r) <- 0; as.vector(2 * r %*% l) }
  l <- as.vector(fa(as.matrix(R), 1, fm = "minres", warnings = FALSE)$loadings)
  for (i in 1:30) l <- optim(l, residual, gradient, method = "BFGS", control = list(reltol = 1e-16, maxit = 1000))$par
  for (i in 1:20) {  # Newton
    r <- tcrossprod(l) - R; diag(r) <- 0
    H <- 2 * (r + diag(sum(l^2) - l^2) + tcrossprod(l) - diag(l^2))
    l <- l - solve(H, gradient(l))
  }
  l * sign(sum(l))
}

vargha_delaney <- function(a, b) mean(outer(b, a, function(x, y) (x > y) + 0.5 * (x == y)))

henze_zirkler <- function(X) {
  n <- nrow(X); p <- ncol(X); S <- cov(X) * (n - 1) / n
  D <- mahalanobis(X, colMeans(X), S); Y <- X %*% solve(S) %*% t(X)
  Djk <- -2 * Y + matrix(diag(Y), n, n) + t(matrix(diag(Y), n, n))
  b <- 1 / sqrt(2) * ((2 * p + 1) / 4)^(1 / (p + 4)) * n^(1 / (p + 4))
  hz <- n * (1 / n^2 * sum(exp(-b^2 / 2 * Djk)) - 2 * (1 + b^2)^(-p / 2) / n * sum(exp(-b^2 / (2 * (1 + b^2)) * D)) + (1 + 2 * b^2)^(-p / 2))
  a <- 1 + 2 * b^2; w <- (1 + b^2) * (1 + 3 * b^2)
  mu <- 1 - a^(-p / 2) * (1 + p * b^2 / a + p * (p + 2) * b^4 / (2 * a^2))
  s2 <- 2 * (1 + 4 * b^2)^(-p / 2) + 2 * a^(-p) * (1 + 2 * p * b^4 / a^2 + 3 * p * (p + 2) * b^8 / (4 * a^4)) -
    4 * w^(-p / 2) * (1 + 3 * p * b^4 / (2 * w) + p * (p + 2) * b^8 / (2 * w^2))
  pmu <- log(sqrt(mu^4 / (s2 + mu^2))); psi <- sqrt(log((s2 + mu^2) / mu^2))
  list(hz = hz, p = 1 - plnorm(hz, pmu, psi))
}

cluster <- function(fit, id) {  # CR1
  X <- model.matrix(fit); bread <- solve(crossprod(X)); n <- nrow(X); G <- length(unique(id))
  meat <- crossprod(rowsum(X * residuals(fit), id))
  sqrt(diag(bread %*% meat %*% bread) * G / (G - 1) * (n - 1) / (n - ncol(X)))
}

regression <- function(d, background) {
  d$condition <- factor(d$condition)
  counts <- table(d$age)  # the commonest first; ties in order of name
  d$age <- relevel(factor(d$age), names(counts)[order(-counts, names(counts))][1])
  fit <- if (background) lm(quality ~ condition + length + age, d) else lm(quality ~ condition + length, d)
  s <- summary(fit); se <- cluster(fit, d$participant); G <- length(unique(d$participant))
  p <- 2 * pt(-abs(coef(fit) / se), G - 1)
  list(background = background, n = nrow(d), r_squared = s$r.squared, adjusted = s$adj.r.squared, sd = s$sigma, F = s$fstatistic[[1]],
       terms = names(coef(fit)), estimate = unname(coef(fit)), se = unname(s$coefficients[, 2]), p = unname(s$coefficients[, 4]),
       low = unname(confint(fit)[, 1]), se_cluster = unname(se), p_cluster = unname(p))
}

krippendorff <- function(values, unit) {  # ordinal, from the definition
  keep <- ave(values, unit, FUN = length) > 1
  values <- values[keep]; unit <- unit[keep]
  levels <- sort(unique(values)); n <- length(values)
  margin <- sapply(levels, function(v) sum(values == v))
  delta <- outer(seq_along(levels), seq_along(levels), Vectorize(function(i, j) {
    if (i == j) 0 else (sum(margin[min(i, j):max(i, j)]) - (margin[i] + margin[j]) / 2)^2 }))
  code <- match(values, levels); observed <- 0
  for (own in split(code, unit)) observed <- observed + sum(delta[own, own]) / (length(own) - 1)
  1 - (n - 1) * observed / sum(delta[code, code])
}

analyse <- function(d) {
  measures <- c(CONSTRUCTS, "quality")
  conditions <- sort(unique(d$condition)); pairs <- combn(conditions, 2)
  long <- function(m) data.frame(value = d[[m]], condition = factor(d$condition), participant = factor(d$participant))
  X <- d[CONSTRUCTS]; a <- psych::alpha(X, warnings = FALSE)
  l <- one_factor(cor(X))
  box <- box_m(X, factor(d$condition))
  list(
    data = as.list(d[c("participant", "condition", "item", CONSTRUCTS, "length", "age")]),
    describe = lapply(measures, function(m) lapply(split(d[[m]], d$condition), function(v)
      list(n = length(v), mean = mean(v), sd = sd(v), q = unname(quantile(v, c(.25, .5, .75)))))),
    kruskal = lapply(measures, function(m) { k <- kruskal.test(value ~ condition, long(m))
      list(H = k$statistic[[1]], df = k$parameter[[1]], p = k$p.value) }),
    dunn = lapply(measures, function(m) { t <- dunn_test(long(m), value ~ condition, p.adjust.method = "holm", detailed = TRUE)
      b <- dunn_test(long(m), value ~ condition, p.adjust.method = "bonferroni")
      list(z = t$statistic, p = t$p, p_holm = t$p.adj, p_bonferroni = b$p.adj,
           A = apply(pairs, 2, function(q) vargha_delaney(d[[m]][d$condition == q[1]], d[[m]][d$condition == q[2]]))) }),
    friedman = lapply(measures, function(m) {
      t <- round(tapply(d[[m]], list(d$participant, d$condition), mean), 9); t <- t[complete.cases(t), , drop = FALSE]
      f <- friedman.test(t); list(n = nrow(t), chi2 = f$statistic[[1]], p = f$p.value, W = f$statistic[[1]] / (nrow(t) * (ncol(t) - 1))) }),
    shapiro = lapply(measures, function(m) lapply(split(d[[m]], d$condition), function(v) { s <- shapiro.test(v)
      list(W = s$statistic[[1]], p = s$p.value) })),
    levene = lapply(measures, function(m) { t <- car::leveneTest(value ~ condition, long(m)); list(F = t[1, 2], p = t[1, 3]) }),
    box_m = list(chi2 = box$statistic[[1]], df = box$parameter[[1]], p = box$p.value),
    henze_zirkler = henze_zirkler(as.matrix(X)),
    reliability = list(alpha = a$total$raw_alpha, ci = c(a$feldt$lower.ci[[1]], a$feldt$upper.ci[[1]]), dropped = a$alpha.drop$raw_alpha,
                       item_rest = a$item.stats$r.drop, loadings = l, omega = 1 - sum(1 - l^2) / sum(cor(X))),
    outliers = which(is_outlier(d$quality[d$condition == "A"])),
    ols = list(regression(d[!ave(d$quality, d$condition, FUN = function(v) is_outlier(v)), ], FALSE), regression(d, FALSE),
               regression(d[!ave(d$quality, d$condition, FUN = function(v) is_outlier(v)), ], TRUE), regression(d, TRUE)),
    krippendorff = lapply(CONSTRUCTS, function(m) krippendorff(d[[m]], paste(d$condition, d$item)))
  )
}

runs <- function(seed, drop) {
  set.seed(seed)
  d <- expand.grid(run = 1:6, method = c("cf", "both", "mt"), size = c("220M", "770M"), stringsAsFactors = FALSE)
  d$accuracy <- 0.6 + 0.1 * (d$size == "770M") + 0.05 * (d$method == "mt") + 0.02 * rt(nrow(d), 3)
  d <- d[!seq_len(nrow(d)) %in% drop, ]
  one <- function(d) {
    t <- Anova(lm(accuracy ~ method * size, d, contrasts = list(method = contr.sum, size = contr.sum)), type = 2)
    tukey <- lapply(split(d, d$size), function(s) { s$method <- factor(s$method, sort(unique(s$method)))
      k <- TukeyHSD(aov(accuracy ~ method, s))$method; list(estimate = k[, 1], low = k[, 2], p = k[, 4]) })
    list(ss = t[["Sum Sq"]], df = t$Df, F = t[["F value"]][1:3], p = t[["Pr(>F)"]][1:3],
         ges = as.data.frame(anova_test(d, accuracy ~ method * size, type = 2, effect.size = "ges", detailed = TRUE))$ges, tukey = tukey)
  }
  out <- ave(d$accuracy, d$method, d$size, FUN = function(v) is_outlier(v)) == 1
  list(data = as.list(d), outliers = which(out), all = one(d), without = one(d[!out, ]))
}

icc_balanced <- local({
  set.seed(5)
  t <- matrix(pmin(5, pmax(1, round(3 + rnorm(20) + matrix(rnorm(60), 20)))), 20)
  list(matrix = t, icc = suppressMessages(psych::ICC(t, lmer = FALSE))$results$ICC[1])
})

cat(toJSON(list(
  versions = list(R = R.version.string, psych = as.character(packageVersion("psych")), car = as.character(packageVersion("car")),
                  rstatix = as.character(packageVersion("rstatix"))),
  studies = list(balanced = analyse(study(1, 12, 9, 3, 5, 0)), unbalanced = analyse(study(2, 25, 8, 4, 7, 31)), long_scale = analyse(study(3, 18, 6, 3, 11, 10))),
  runs = list(balanced = runs(7, integer()), unbalanced = runs(8, c(3, 14, 15, 29))),
  icc = icc_balanced
), digits = NA, auto_unbox = TRUE, matrix = "rowmajor"), "\n")

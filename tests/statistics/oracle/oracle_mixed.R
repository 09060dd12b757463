# What R says about the mixed models, for data simulated here. Run from this folder:  Rscript oracle_mixed.R
# Writes mixed.json (data and results). With a CSV file, the columns and a target it analyses that file instead:
#   Rscript oracle_mixed.R FILE.csv PARTICIPANT ITEM CONDITION CONSTRUCT,CONSTRUCT,… OUT.json
suppressMessages({
  library(ordinal); library(lme4); library(lmerTest); library(emmeans); library(jsonlite)
})
options(contrasts = c("contr.treatment", "contr.poly"))
# A tighter gradTol makes clmm stop its inner iterations at rounding errors, which its numerical Hessian then magnifies.
tight <- clmm.control(gradTol = 1e-6, useMatrix = TRUE, maxIter = 200, rel.tol = 1e-14, x.tol = 1e-12, eval.max = 2000, iter.max = 1000)
bobyqa <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE,
                      check.conv.singular = "ignore")

rhs <- function(covariates, terms) {
  paste(c("condition", covariates, sprintf("(1|%s)", gsub(":", "_x_", terms, fixed = TRUE))), collapse = " + ")
}

pair_rows <- function(model, delta, ...) {
  means <- emmeans(model, ~condition, ...)
  pairs_ <- contrast(means, "revpairwise")
  tukey <- as.data.frame(summary(pairs_, adjust = "tukey"))
  holm <- as.data.frame(summary(pairs_, adjust = "holm"))
  ci <- as.data.frame(confint(pairs_, adjust = "none"))
  ci_tukey <- as.data.frame(confint(pairs_, adjust = "tukey"))
  levels_ <- levels(model.frame(model)$condition)
  index <- combn(length(levels_), 2)
  # emmeans lists 2-1, 3-1, 3-2, …; ours 2-1, 3-1, 4-1, 3-2, …
  name <- function(i, j) paste(levels_[j], "-", levels_[i])
  at <- match(gsub("[()]", "", mapply(name, index[1, ], index[2, ])), gsub("[()]", "", tukey$contrast))
  out <- data.frame(a = levels_[index[1, ]], b = levels_[index[2, ]], estimate = tukey$estimate[at], se = tukey$SE[at],
                    df = tukey$df[at], p_tukey = tukey$p.value[at], p_holm = holm$p.value[at],
                    low = ci[at, ncol(ci) - 1], high = ci[at, ncol(ci)],
                    low_tukey = ci_tukey[at, ncol(ci_tukey) - 1], high_tukey = ci_tukey[at, ncol(ci_tukey)])
  if (!is.null(delta)) {
    # two one-sided tests by hand: emmeans' own test has the same p
    out$p_tost <- pmax(pnorm((out$estimate + delta) / out$se, lower.tail = FALSE),
                       pnorm((delta - out$estimate) / out$se, lower.tail = FALSE))
    emm <- as.data.frame(test(pairs_, delta = delta, side = "equivalence", adjust = "none"))
    stopifnot(max(abs(emm$p.value[at] - out$p_tost)) < 1e-8)
  }
  out
}

ordinal_results <- function(d, covariates, terms, boundary = character(0), contrasts = TRUE) {
  d$rating <- factor(d$y)
  for (term in c(terms, boundary)) if (grepl(":", term, fixed = TRUE)) d[[gsub(":", "_x_", term, fixed = TRUE)]] <-
    factor(paste(d$participant, d$condition, sep = ":"))
  # A random effect whose standard deviation is 0 is left out: the limit of the likelihood, without clmm's numerical trouble there.
  model <- clmm(as.formula(paste("rating ~", rhs(covariates, terms))), data = d, Hess = TRUE, control = tight)
  without <- paste(c(if (length(covariates)) covariates else "1", sprintf("(1|%s)", gsub(":", "_x_", terms, fixed = TRUE))), collapse = " + ")
  null <- clmm(as.formula(paste("rating ~", without)), data = d, control = tight)
  lr <- 2 * as.numeric(logLik(model) - logLik(null))
  df <- nlevels(d$condition) - 1
  coefficients_ <- coef(summary(model))
  cuts <- nlevels(d$rating) - 1
  sds <- sapply(ordinal::VarCorr(model), function(v) sqrt(v[1]))
  names(sds) <- gsub("_x_", ":", names(sds), fixed = TRUE)
  beta <- coefficients_[-(1:cuts), , drop = FALSE]
  list(thresholds = unname(coefficients_[1:cuts, 1]), thresholds_se = unname(coefficients_[1:cuts, 2]),
       terms = rownames(beta), estimates = unname(beta[, 1]), ses = unname(beta[, 2]), ps = unname(beta[, 4]),
       sd = as.list(c(sds, setNames(rep(0, length(boundary)), boundary))),
       log_likelihood = as.numeric(logLik(model)), log_likelihood_null = as.numeric(logLik(null)),
       lr = lr, df = df, p = pchisq(lr, df, lower.tail = FALSE), gradient = max(abs(model$gradient)),
       modes = lapply(ordinal::ranef(model), function(r) unname(r[, 1])),
       mode_variances = lapply(ordinal::condVar(model), function(r) unname(r[, 1])),
       contrasts = if (contrasts) pair_rows(model, log(1.5)))
}

linear_results <- function(d, covariates, terms) {
  model <- lmer(as.formula(paste("y ~", rhs(covariates, terms))), data = d, control = bobyqa)
  table <- coef(summary(model))
  variances <- as.data.frame(lme4::VarCorr(model))
  f <- anova(model, type = 3)["condition", ]
  fixed <- as.vector(model.matrix(model) %*% fixef(model))
  random <- sum(variances$vcov[variances$grp != "Residual"])
  total <- var(fixed) + sum(variances$vcov)
  list(terms = rownames(table), estimates = unname(table[, 1]), ses = unname(table[, 2]), dfs = unname(table[, 3]),
       ts = unname(table[, 4]), ps = unname(table[, 5]),
       sd = as.list(setNames(variances$sdcor, variances$grp)), log_likelihood = as.numeric(logLik(model)),
       test = list(F = f[["F value"]], df1 = f[["NumDF"]], df2 = f[["DenDF"]], p = f[["Pr(>F)"]]),
       r2_marginal = var(fixed) / total, r2_conditional = (var(fixed) + random) / total,
       contrasts = pair_rows(model, NULL, lmer.df = "satterthwaite", lmerTest.limit = 1e6))
}

simulate <- function(seed, participants, items, trials, effects, cuts, sd_participant, sd_item, sd_cell = 0, sd_explanation = 0,
                     unbalanced = FALSE, covariates = FALSE, low = 1) {
  set.seed(seed)
  conditions <- names(effects)
  rows <- do.call(rbind, lapply(seq_len(participants), function(p) {
    count <- if (unbalanced) sample(ceiling(trials / 3):trials, 1) else trials
    condition <- if (unbalanced) sample(conditions, count, TRUE, prob = seq_along(conditions)) else sample(rep(conditions, length.out = count))
    data.frame(participant = sprintf("p%02d", p), item = sprintf("q%02d", sample(items, count)), condition = condition)
  }))
  for (column in names(rows)) rows[[column]] <- factor(rows[[column]])
  draw <- function(f, sd) rnorm(nlevels(f), 0, sd)[as.integer(f)]
  eta <- effects[as.character(rows$condition)] + draw(rows$participant, sd_participant) + draw(rows$item, sd_item)
  if (sd_cell > 0) eta <- eta + draw(interaction(rows$participant, rows$condition), sd_cell)
  if (sd_explanation > 0) {
    rows$explanation <- factor(paste(rows$item, rows$condition, sep = "-"))
    eta <- eta + draw(rows$explanation, sd_explanation)
  }
  if (covariates) {
    rows$size <- round(100 + 40 * rnorm(nrow(rows)))
    group <- sample(c("no", "some", "much"), participants, TRUE)
    rows$experience <- factor(group[as.integer(rows$participant)])
    eta <- eta + 0.01 * rows$size + c(no = 0, some = 0.4, much = 0.8)[as.character(rows$experience)]
  }
  rows$y <- as.integer(low + findInterval(eta + rlogis(nrow(rows)), cuts))
  rows
}

four <- c(A = 0, B = 0.3, C = 0.8, D = -0.2)
five_points <- c(-2.5, -1.2, -0.3, 1.4)

cases <- list(
  balanced_5 = list(d = simulate(1, 30, 24, 12, four, five_points, 1.4, 0.6), terms = c("participant", "item")),
  unbalanced_7_covariates = list(
    d = simulate(2, 40, 30, 12, c(A = 0, B = 0.5, C = 1), c(-2, -1, 0, 1, 2, 3), 1, 0.7, unbalanced = TRUE, covariates = TRUE),
    terms = c("participant", "item"), covariates = c("size", "experience")),
  boundary_5 = list(d = simulate(21, 36, 30, 10, four, five_points, 1.2, 0), terms = "participant", boundary = "item"),
  three_points = list(d = simulate(4, 40, 20, 8, c(old = 0, new = 0.6), c(-0.8, 0.9), 0.9, 0.5), terms = c("participant", "item")),
  eleven_points = list(d = simulate(5, 30, 25, 10, four, seq(-3, 3, length.out = 10), 1.3, 0.8, low = 0), terms = c("participant", "item")),
  participant_condition = list(d = simulate(6, 40, 24, 12, c(A = 0, B = 0.4, C = 0.9), five_points, 1.2, 0.6, sd_cell = 0.9),
                               terms = c("participant", "item", "participant:condition")),
  explanations = list(d = simulate(7, 40, 16, 12, c(A = 0, B = 0.4, C = 0.9), five_points, 1, 0.8, sd_explanation = 0.7),
                      terms = c("participant", "item", "explanation")),
  binary = list(d = local({ d <- simulate(8, 40, 25, 12, four, five_points, 1.3, 0.7); d$y <- as.integer(d$y >= 4); d }),
                terms = c("participant", "item")),
  unused_middle = list(d = local({ d <- simulate(9, 30, 20, 10, c(A = 0, B = 0.7), five_points, 1, 0.9); d$y[d$y == 3] <- 4L; d }),
                       terms = c("participant", "item"))
)

analyse <- function(case) {
  d <- case$d
  out <- list(data = d, covariates = as.list(case$covariates), terms = c(case$terms, case$boundary))
  out$ordinal <- ordinal_results(d, case$covariates, case$terms, if (is.null(case$boundary)) character(0) else case$boundary)
  if (!any(grepl(":", case$terms, fixed = TRUE))) out$linear <- linear_results(d, case$covariates, c(case$terms, case$boundary))
  out
}

# Condition C is rated 5 throughout: its effect is infinite. In that limit its rows have probability 1 whatever the random effects
# are, so the likelihood, the thresholds and the other conditions' effects are those of the data without C.
separated <- function() {
  d <- simulate(10, 30, 24, 12, four, five_points, 1.2, 0.7)
  d$y[d$condition == "C"] <- 5L
  rest <- droplevels(d[d$condition != "C", ])
  null <- clmm(factor(y) ~ 1 + (1 | participant) + (1 | item), data = d, control = tight)
  list(data = d, ordinal = ordinal_results(rest, NULL, c("participant", "item")), log_likelihood_null = as.numeric(logLik(null)))
}

# Every rating has a participant and an item of its own: no random effect can be estimated, and the model is clm's.
independent <- function() {
  d <- simulate(11, 300, 300, 1, four, five_points, 0, 0)
  set.seed(12)
  d$condition <- factor(sample(names(four), 300, TRUE)) # one trial each: drawn, not balanced within a participant
  d$y <- as.integer(1 + findInterval(four[as.character(d$condition)] + rlogis(300), five_points))
  d$item <- factor(sprintf("q%03d", 1:300))
  d$participant <- factor(sprintf("p%03d", 1:300))
  d$rating <- factor(d$y)
  model <- clm(rating ~ condition, data = d, control = clm.control(gradTol = 1e-10))
  nominal <- clm(rating ~ 1, nominal = ~condition, data = d, control = clm.control(gradTol = 1e-10))
  null <- clm(rating ~ 1, data = d)
  d$rating <- NULL
  list(data = d, estimates = unname(coef(model)[5:7]), ses = unname(coef(summary(model))[5:7, 2]),
       log_likelihood = as.numeric(logLik(model)), log_likelihood_null = as.numeric(logLik(null)),
       nominal_lr = 2 * as.numeric(logLik(nominal) - logLik(model)))
}

write <- function(results, path) writeLines(toJSON(results, digits = 12, auto_unbox = TRUE, dataframe = "columns", null = "null"), path)

arguments <- commandArgs(TRUE)
if (length(arguments)) {
  table <- read.csv(arguments[1])
  constructs <- strsplit(arguments[5], ",")[[1]]
  base <- data.frame(participant = factor(table[[arguments[2]]]), item = factor(table[[arguments[3]]]), condition = factor(table[[arguments[4]]]))
  levels(base$condition) <- gsub("-", "~", levels(base$condition), fixed = TRUE)
  results <- list(versions = list(R = R.version.string, ordinal = as.character(packageVersion("ordinal"))))
  for (construct in constructs) {
    d <- cbind(base, y = table[[construct]])
    # clmm stops at a tiny standard deviation on the boundary; then the effect is left out, as in boundary_5.
    first <- ordinal_results(d, NULL, c("participant", "item"), contrasts = FALSE)
    zero <- names(first$sd)[unlist(first$sd) < 1e-2]
    time <- system.time(clmm(factor(y) ~ condition + (1 | participant) + (1 | item), data = d))[["elapsed"]]
    results[[construct]] <- list(ordinal = ordinal_results(d, NULL, setdiff(c("participant", "item"), zero), zero), seconds = time)
  }
  base$y <- rowMeans(table[constructs])
  results$Quality <- list(linear = linear_results(base, NULL, c("participant", "item")))
  write(results, arguments[6])
} else {
  results <- list(versions = list(R = R.version.string, ordinal = as.character(packageVersion("ordinal")),
                                  lme4 = as.character(packageVersion("lme4")), lmerTest = as.character(packageVersion("lmerTest")),
                                  emmeans = as.character(packageVersion("emmeans"))),
                  cases = lapply(cases, analyse), separated = separated(), independent = independent())
  write(results, "mixed.json")
}

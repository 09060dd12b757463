// Participants' pages work without this. With htmx, a lost connection leaves the filled-in form on the screen: say so.
(function () {
  "use strict";
  function show(lost) {
    var notice = document.getElementById("lost");
    if (notice) notice.hidden = !lost;
  }
  document.addEventListener("htmx:sendError", function () { show(true); });
  document.addEventListener("htmx:timeout", function () { show(true); });
  document.addEventListener("htmx:beforeRequest", function () { show(false); });
})();

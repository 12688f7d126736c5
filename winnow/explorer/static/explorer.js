// What plain links and forms cannot do. Every page works without this file.
"use strict";

// Moves the focus to what an update has put in, where the page asks for it: screen readers continue there.
document.addEventListener("htmx:afterSettle", (event) => {
  const target = event.detail.elt.querySelector("[data-focus]");
  if (target) target.focus();
});

// A response that is an error replaces the target, too: its page says what is wrong.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

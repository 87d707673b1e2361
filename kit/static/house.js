// Small comforts only: every page does all its work without this file.
(() => {
  "use strict";
  const digits = (text) => text.replace(/\D/g, "");
  const mark = document.documentElement.lang === "en" ? "," : ".";
  const grouped = (text) => digits(text).replace(/^0+(?=\d)/, "").replace(/\B(?=(\d{3})+$)/g, mark);

  // Amounts are easier to check in groups of three; the server receives digits only.
  for (const input of document.querySelectorAll("input[data-money]")) {
    input.value = grouped(input.value);
    input.addEventListener("blur", () => { input.value = grouped(input.value); });
    input.form?.addEventListener("formdata", (event) => {
      if (event.formData.has(input.name)) event.formData.set(input.name, digits(input.value));
    });
  }

  // A second tap on a slow line must not look like a second order. (The server refuses it as well.)
  const forms = document.querySelectorAll("form[data-once]");
  const hold = (form, held) => {
    form.toggleAttribute("data-sent", held);
    for (const button of form.querySelectorAll("[type=submit]")) button.ariaDisabled = held ? "true" : null;
  };
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      if (form.hasAttribute("data-sent")) { event.preventDefault(); return; }
      hold(form, true);
      // A form that answers with a file leaves the page where it is, so it may be sent again later.
      setTimeout(() => hold(form, false), 10000);
    });
  }
  // The back button shows the page as it was left, so let it send again.
  addEventListener("pageshow", () => forms.forEach((form) => hold(form, false)));

  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }

  document.querySelector("[data-focus]")?.focus();
})();

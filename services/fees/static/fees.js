// Live comforts of the fees pages: every page does all its work without this file.
(() => {
  "use strict";
  const later = (work, wait) => {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(work, wait); };
  };

  // Take one part of a page that the server renders anyway, and put it in place of the old one.
  let newest = 0;
  const renewed = async (url, selector) => {
    const mine = ++newest;
    const answer = await fetch(url, { headers: { accept: "text/html" } });
    if (!answer.ok || mine !== newest) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector(selector);
    const old = document.querySelector(selector);
    if (fresh && old) old.replaceChildren(...fresh.childNodes);
  };
  const address = (form) => {
    const query = new URLSearchParams(new FormData(form));
    return form.getAttribute("action").split("#")[0] + "?" + query;
  };

  // The slider stands on days on which the law changes; the day beside it can be any.
  const slider = document.querySelector("[data-days]");
  if (slider) {
    const form = slider.form;
    const days = slider.dataset.days.split(" ");
    const shown = document.querySelector("output[for='" + slider.id + "']");
    const look = later(() => {
      const url = address(form);
      history.replaceState(null, "", url);
      renewed(url, "#tariff").catch(() => {});
    }, 150);
    const told = (day) => day.split("-").reverse().join("/");
    slider.addEventListener("input", () => {
      const day = days[Number(slider.value)];
      form.elements.on.value = day;
      form.elements.was.value = slider.value;
      slider.setAttribute("aria-valuetext", told(day));
      shown.textContent = told(day);
      look();
    });
    form.elements.on.addEventListener("change", () => {
      if (!form.elements.on.value) return;
      const place = days.findLastIndex((day) => day <= form.elements.on.value);
      slider.value = form.elements.was.value = Math.max(place, 0);
      shown.textContent = told(form.elements.on.value);
      slider.setAttribute("aria-valuetext", told(form.elements.on.value));
      look();
    });
    form.elements.q?.addEventListener("input", look);
  }

  // A calculation answers while the form is being filled in.
  const trial = document.querySelector("form[data-live]");
  if (trial) {
    const price = later(() => {
      if (trial.matches(":invalid")) return;
      renewed(address(trial), "#result").catch(() => {});
    }, 350);
    trial.addEventListener("input", price);
    trial.addEventListener("change", price);
  }

  // What somebody writes is kept without asking; the revision tells the server that nobody was faster.
  const draft = document.getElementById("draft-form");
  if (draft) {
    const said = document.getElementById("autosaved");
    let dirty = false;
    let stopped = false;
    let work = null;
    const send = async () => {
      const body = new URLSearchParams(new FormData(draft));
      body.set("add_path", "");
      dirty = false;
      try {
        const answer = await fetch(draft.action.replace(/\/save$/, "/autosave"), { method: "POST", body });
        if (answer.ok) {
          const { revision } = await answer.json();
          for (const field of document.querySelectorAll("form input[name=revision]")) field.value = revision;
          said.textContent = said.dataset.saved + " " + new Date().toLocaleTimeString("vi-VN");
          return;
        }
        stopped = answer.status === 412;
      } catch { /* The line may be down for a moment: the next change tries again. */ }
      dirty = true;
      said.textContent = said.dataset.failed;
    };
    const save = () => {
      if (!stopped) work ??= send().finally(() => { work = null; });
      return work;
    };
    const soon = later(() => { if (dirty && !work) save(); else if (dirty) soon(); }, 2000);
    draft.addEventListener("input", (event) => {
      if (!["text", "title", "reason"].includes(event.target.name)) return;
      dirty = true;
      soon();
    });

    // A form that hands the draft on waits until what was typed is kept; the draft's own form carries it itself.
    let leaving = false;
    document.addEventListener("submit", (event) => {
      const form = event.target;
      const own = form === draft;
      if (form.method !== "post" || (!work && (own || !dirty))) {
        // From here on the form speaks for itself: a save beside it would only race with it.
        leaving = stopped = true;
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      (async () => {
        await work;
        if (!own && dirty) await save();
        if (own || !dirty) form.requestSubmit(event.submitter);
      })();
    }, true);
    addEventListener("pageshow", (event) => { if (event.persisted) leaving = stopped = false; });
    addEventListener("beforeunload", (event) => { if (dirty && !leaving) event.preventDefault(); });

    // A fault leads to its line in the text itself.
    for (const link of document.querySelectorAll(".faults a[data-line]")) {
      const area = document.getElementById("f-text-" + link.dataset.document);
      if (!area) continue;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        const lines = area.value.split("\n");
        const start = lines.slice(0, Number(link.dataset.line) - 1).reduce((sum, line) => sum + line.length + 1, 0);
        area.focus();
        area.setSelectionRange(start, start + (lines[Number(link.dataset.line) - 1] ?? "").length);
        area.scrollTop = (Number(link.dataset.line) - 4) * parseFloat(getComputedStyle(area).lineHeight);
      });
    }
  }
})();

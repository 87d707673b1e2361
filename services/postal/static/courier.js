// The courier's page: the round, one stop, scanning, the outbox. It draws only what the phone keeps.
"use strict";
(async () => {
  const app = document.getElementById("app");
  const lang = document.documentElement.lang;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const sentences = new Map(all("[data-w]", one("#words").content).map((node) => [node.dataset.w, node.textContent]));
  const say = (key, values = {}) => (sentences.get(key) ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const pick = (pair) => pair.at(lang === "en" ? -1 : -2) ?? pair[0];
  const mark = lang === "en" ? "," : ".";
  const dong = (amount) => String(amount).replace(/\B(?=(\d{3})+$)/g, mark);
  const digits = (text) => Number(text.replace(/\D/g, "") || 0);
  const clock = (moment) => new Date(moment).toLocaleString("en-GB").slice(0, 17);
  const view = (name) => one(`#v-${name}`).content.cloneNode(true);
  const fill = (root, values) => {
    for (const [name, value] of Object.entries(values)) {
      const node = one(`[data-t="${name}"]`, root);
      if (node) { node.textContent = value ?? ""; node.hidden = value === null || value === ""; }
    }
    return root;
  };
  const made = (tag, attributes = {}, text = "") => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    return node;
  };
  let toastTimer = 0;
  const tell = (text, tone = "good") => {
    const toast = one("#toast");
    toast.textContent = text;
    toast.className = `c-toast ${tone}`;
    toast.hidden = false;
    one("#live").textContent = text;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { toast.hidden = true; }, tone === "good" ? 2_500 : 8_000);
  };
  const refuse = (form, text, focus) => {
    const problem = one("[data-problem]", form);
    problem.textContent = text;
    problem.hidden = !text;
    if (text) (focus ?? problem).focus?.();
  };
  const mount = (page, at) => location.hash === at && !app.replaceChildren(page);
  const buzz = (pattern) => navigator.vibrate?.(pattern);
  const bad = (error) => { tell(say("not_saved"), "bad"); console.error(error); };

  try { await LT.ready(); } catch (error) { bad(error); return; }
  let tables = await LT.meta("tables");
  let task = sessionStorage.getItem("task");
  // One press at a time: a slow finger must not make a second fact.
  let busy = false;
  const once = (work) => async (event) => {
    event?.preventDefault?.();
    if (busy) return;
    busy = true;
    try { await work(event); } catch (error) { bad(error); } finally { busy = false; }
  };

  // what is where

  const TASKS = ["pick_up", "deliver", "take_out", "hand_in", "keep", "done"];
  const nameOf = (stop) => stop.phone ? stop.name : `${say("agency")} ${stop.name}`;
  const whereOf = (stop) => [stop.address, `${say("commune")} ${stop.commune}`, pick([stop.note_vi, stop.note_en])].filter(Boolean).join(", ");
  const statusOf = (stop) => pick(tables.statuses[stop.status] ?? [stop.status, stop.status]);
  const spaced = (s10) => s10.replace(/^(..)(\d{4})(\d{4})(\d)(..)$/, "$1 $2 $3 $4 $5");
  const factsOf = (stop) => ({
    name: nameOf(stop), where: whereOf(stop), number: spaced(stop.s10), status: statusOf(stop),
    cash: stop.cash_due_dong ? say("cash_due", { n: dong(stop.cash_due_dong) }) : null,
    unsent: stop.unsent ? say("unsent") : null,
  });

  const welcome = (problem) => {
    app.replaceChildren(fill(view("welcome"), { problem: problem ? say(problem, { name: "…" }) : null }));
    one("[data-do=refresh]", app).onclick = () => refresh(true);
  };

  const showRound = async () => {
    const at = location.hash;
    if (!tables) { welcome(await LT.meta("problem")); return; }
    const stops = await LT.stops();
    const counts = Object.fromEntries(TASKS.map((name) => [name, stops.filter((stop) => stop.task === name).length]));
    if (!counts[task] || !task) task = TASKS.find((name) => counts[name]) ?? "deliver";
    const page = fill(view("round"), { who: await LT.meta("name"), age: say("age", { when: clock(await LT.meta("round_at")) }) });
    for (const name of TASKS) {
      const button = made("button", { type: "button", class: "c-task", "aria-pressed": String(name === task) }, say(name));
      button.append(made("span", { class: "c-task-count" }, String(counts[name])));
      button.onclick = () => { task = name; sessionStorage.setItem("task", name); showRound(); };
      one("[data-tasks]", page).append(button);
    }
    if (["take_out", "hand_in", "deliver"].includes(task) && counts[task]) {
      const link = one("[data-bulk-link]", page);
      link.href = `#/scan/${task}`;
      link.textContent = say(`bulk_${task}`);
      one("[data-bulk]", page).hidden = false;
    }
    const list = one("[data-list]", page);
    for (const stop of stops.filter((row) => row.task === task)) {
      const row = fill(view("row"), factsOf(stop));
      one("a", row).href = `#/stop/${stop.s10}`;
      list.append(row);
    }
    one("[data-empty]", page).hidden = counts[task] > 0;
    const taken = (await LT.read("events", (store) => store.index("state").getAll("queued")))
      .map((row) => row.event.cash_collected_dong ?? 0).filter(Boolean);
    const cash = one("[data-cash]", page);
    const m = tables.cash.count + taken.length;
    cash.hidden = !m;
    cash.textContent = say("cash_held", { n: dong(taken.reduce((sum, amount) => sum + amount, tables.cash.total_dong)), m });
    one("[data-do=refresh]", page).onclick = () => refresh(true);
    mount(page, at);
    if (tables.more) tell(say("more"), "warn");
  };

  const refresh = async (asked) => {
    try {
      await LT.sync.round();
      tables = await LT.meta("tables");
      await LT.setMeta({ problem: null });
      if (asked) tell(say("round_loaded"));
    } catch (error) {
      const problem = error.problem ?? "busy";
      if (["sign-in", "another"].includes(problem)) await LT.setMeta({ problem });
      if (asked) tell(`${say(problem, { name: await LT.meta("name") })} ${tables ? say("round_failed") : ""}`, "warn");
    }
    if (/^#?\/?$/.test(location.hash)) await showRound();
    await showChip();
  };

  // one stop

  // A draft outlives a reload in the middle of a signature: fields, strokes and pictures, as they were.
  const drafts = new Map();
  const keepDraft = (key, change) => {
    const next = { ...drafts.get(key), ...change };
    drafts.set(key, next);
    return LT.transact(["drafts"], "readwrite", (store) => { store("drafts").put(next, key); });
  };

  const signaturePad = (slot, key, draft) => {
    const name = slot.dataset.pad;
    const page = fill(view("pad"), { legend: say(name) });
    const canvas = one("canvas", page);
    const paper = one("[data-paper]", page);
    const brush = canvas.getContext("2d");
    let strokes = draft.strokes?.[name] ?? [];
    const draw = () => {
      brush.fillStyle = "#fff";
      brush.fillRect(0, 0, canvas.width, canvas.height);
      brush.strokeStyle = "#101615";
      brush.lineWidth = 4;
      brush.lineCap = brush.lineJoin = "round";
      for (const stroke of strokes) {
        brush.beginPath();
        brush.moveTo(...stroke[0]);
        for (const [x, y] of stroke) brush.lineTo(x + 0.1, y);
        brush.stroke();
      }
    };
    const keep = () => keepDraft(key, { strokes: { ...drafts.get(key).strokes, [name]: strokes } }).catch(bad);
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [Math.round((event.clientX - box.left) * canvas.width / box.width), Math.round((event.clientY - box.top) * canvas.height / box.height)];
    };
    let current = null;
    canvas.onpointerdown = (event) => {
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      current = [place(event)];
      strokes = [...strokes, current];
      paper.checked = false;
      draw();
    };
    canvas.onpointermove = (event) => { if (current) { current.push(place(event)); draw(); } };
    canvas.onpointerup = canvas.onpointercancel = () => { if (current) { current = null; keep(); } };
    one("[data-clear]", page).onclick = () => { strokes = []; draw(); keep(); };
    paper.checked = Boolean(draft.paper?.[name]);
    paper.onchange = () => keepDraft(key, { paper: { ...drafts.get(key).paper, [name]: paper.checked } }).catch(bad);
    draw();
    slot.replaceChildren(page);
    return {
      name, given: () => strokes.length > 0 || paper.checked,
      // The hash of the drawing with its file, or of the courier's attestation that the paper slip is signed.
      seal: async (event_id, s10) => {
        if (!strokes.length) return { sha256: await LT.sha256(`signed on paper\n${event_id}\n${s10}\n${slot.dataset.party}`) };
        const blob = await LT.scan.encoded(canvas, "image/png");
        const file = await LT.keepFile(await blob.arrayBuffer(), "image/png", name);
        return { sha256: file.sha256, file };
      },
    };
  };

  const photoField = (slot, key, draft) => {
    const kind = slot.dataset.photo;
    const page = fill(view("photo"), { label: say(kind), button: say("take_photo"), said: null });
    const input = one("input", page);
    const root = page.firstElementChild;
    let file = draft.photos?.[kind] ?? null;
    const said = (text) => fill(root, { said: text });
    if (file) said(say("photo_kept", { n: file.kb }));
    input.setAttribute("aria-label", say(kind));
    input.onchange = once(async () => {
      if (!input.files[0]) return;
      let shrunk;
      try { shrunk = await LT.scan.shrink(input.files[0]); } catch { said(say("photo_bad")); return; }
      try {
        file = { ...await LT.keepFile(shrunk.bytes, shrunk.type, kind), kb: Math.ceil(shrunk.bytes.byteLength / 1024) };
      } catch (error) {
        if (!LT.full(error)) throw error;
        said(say("storage_full"));
        tell(say("storage_full"), "bad");
        return;
      }
      await keepDraft(key, { photos: { ...drafts.get(key).photos, [kind]: file } });
      const small = one("canvas", root);
      small.hidden = false;
      small.setAttribute("aria-label", say(kind));
      small.getContext("2d").drawImage(shrunk.image, 0, 0, small.width, small.height);
      said(say("photo_kept", { n: file.kb }));
    });
    slot.replaceChildren(page);
    return { kind, file: () => file && { kind: file.kind, sha256: file.sha256 } };
  };

  const cashField = (form, stop) => {
    const slot = one("[data-cash-field]", form);
    if (!slot || !stop.cash_due_dong) return () => 0;
    slot.replaceChildren(fill(view("cash"), { due: say("cash_due_hint", { n: dong(stop.cash_due_dong) }) }));
    const input = one("input", slot);
    input.value = dong(stop.cash_due_dong);
    return () => digits(input.value);
  };

  const restore = (form, saved = {}) => {
    for (const control of form.elements) {
      if (!control.name || !(control.name in saved)) continue;
      if (control.type === "radio" || control.type === "checkbox") control.checked = [saved[control.name]].flat().includes(control.value);
      else control.value = saved[control.name];
    }
  };
  const fieldsOf = (form) => {
    const found = {};
    for (const [name, value] of new FormData(form)) if (typeof value === "string") found[name] = name in found ? [found[name], value].flat() : value;
    return found;
  };

  const saved = async (facts, key) => {
    await LT.record(facts, { draft: key });
    drafts.delete(key);
    buzz(40);
    tell(say("saved"));
    location.hash = "#/";
    send().catch(bad);
  };

  const collectForm = (form, stop, key, draft) => {
    for (const [position, name] of stop.checklist) {
      const label = made("label", { class: "c-tick" });
      label.append(made("input", { type: "checkbox", name: "piece", value: position }), made("span", {}, name));
      one("[data-checklist]", form).append(label);
    }
    const pads = all("[data-pad]", form).map((slot) => signaturePad(slot, key, draft));
    const photo = photoField(one("[data-photo]", form), key, draft);
    const cash = cashField(form, stop);
    return async () => {
      const fields = fieldsOf(form);
      const ticked = [fields.piece ?? []].flat().map(Number);
      if (!ticked.length) { refuse(form, say("need_tick")); return; }
      if (fields.page_count && !/^\d+$/.test(fields.page_count)) { refuse(form, say("need_pages"), form.elements.page_count); return; }
      if (!fields.seal_number?.trim()) { refuse(form, say("need_seal"), form.elements.seal_number); return; }
      if (!pads.every((pad) => pad.given())) { refuse(form, say("need_signature")); return; }
      if (cash() > stop.cash_due_dong) { refuse(form, say("cash_above")); return; }
      const event_id = LT.uuid7();
      const [sender, courier] = await Promise.all(pads.map((pad) => pad.seal(event_id, stop.s10)));
      await saved([{
        event_id, s10: stop.s10, cash_collected_dong: cash(),
        kind: ticked.length === stop.checklist.length ? "collected" : "partially_collected",
        evidence: {
          collected_positions: ticked, seal_number: fields.seal_number.trim(),
          ...(fields.page_count ? { page_count: Number(fields.page_count) } : {}),
          citizen_signature_sha256: sender.sha256, courier_signature_sha256: courier.sha256,
          files: [sender.file, courier.file, photo.file()].filter(Boolean),
        },
      }], key);
    };
  };

  const deliverForm = (form, stop, key, draft) => {
    const receivers = tables.receivers[stop.direction];
    for (const entry of receivers) {
      const label = made("label");
      label.append(made("input", { type: "radio", name: "receiver", value: entry[0] }), made("span", {}, pick(entry)));
      one("[data-receivers]", form).append(label);
    }
    if (receivers.length === 1) one("[name=receiver]", form).checked = true;
    one("[data-code-choice]", form).hidden = !stop.code_seal;
    const pad = signaturePad(one("[data-pad]", form), key, draft);
    const photo = photoField(one("[data-photo]", form), key, draft);
    const cash = cashField(form, stop);
    const video = one("video", form);
    one("[data-scan-code]", form).onclick = once(async () => {
      if (!await LT.scan.able()) { tell(say("no_detector"), "warn"); return; }
      video.hidden = false;
      await LT.scan.start(video, (text) => { form.elements.code.value = text; LT.scan.stop(); video.hidden = true; });
    });
    const turn = () => { for (const part of all("[data-for]", form)) part.hidden = part.dataset.for !== form.elements.proof.value; };
    form.addEventListener("change", (event) => { turn(); if (event.target.value === "code") form.elements.code.focus(); });
    form.turn = turn;
    // A wrong code is counted and kept counted; after too many only another proof is left.
    const rightCode = async (typed) => {
      const now = await LT.stop(stop.s10);
      const tries = now?.tries ?? 0;
      const said = one("[data-code-said]", form);
      if (tries >= tables.code_tries) { said.textContent = say("code_locked"); return false; }
      const right = await LT.codeIsRight(typed, stop.code_seal);
      if (!right) {
        await LT.transact(["stops"], "readwrite", (store) => { store("stops").put({ ...now, tries: tries + 1 }); });
        const left = tables.code_tries - tries - 1;
        said.textContent = say(left ? "code_wrong" : "code_locked", { n: left });
        buzz([80, 60, 80]);
      } else said.textContent = say("code_right");
      return right;
    };
    return async () => {
      const { receiver, proof, code = "" } = fieldsOf(form);
      if (!receiver) { refuse(form, say("choose_receiver"), one("[name=receiver]", form)); return; }
      if (!proof) { refuse(form, say("choose_proof"), one("[name=proof]", form)); return; }
      if (cash() > stop.cash_due_dong) { refuse(form, say("cash_above")); return; }
      if (proof === "code" && !await rightCode(code)) { refuse(form, one("[data-code-said]", form).textContent, form.elements.code); return; }
      if (proof === "signature" && !pad.given()) { refuse(form, say("need_signature")); return; }
      if (proof === "photo" && !photo.file()) { refuse(form, say("need_photo")); return; }
      const event_id = LT.uuid7();
      const signature = proof === "signature" ? await pad.seal(event_id, stop.s10) : null;
      const pending = stop.status === "delivered_pending_evidence";
      await saved([{
        event_id, s10: stop.s10, kind: pending ? "evidence_added" : "handed_over", cash_collected_dong: pending ? 0 : cash(),
        evidence: {
          receiver, proof, ...(proof === "code" ? { code: code.trim() } : {}),
          files: [signature?.file, photo.file()].filter(Boolean),
        },
      }], key);
    };
  };

  const failForm = (form, stop, key, draft) => {
    const stage = tables.before.includes(stop.status) ? "pickup" : "delivery";
    const { reason, measure } = form.elements;
    for (const entry of tables.reasons[stage]) reason.append(made("option", { value: entry.code }, pick(entry.words)));
    const offer = () => {
      const allowed = tables.reasons[stage].find((entry) => entry.code === reason.value)?.measures ?? [];
      measure.replaceChildren(...allowed.map((code) => made("option", { value: code }, pick(tables.measures[code]))));
    };
    reason.onchange = offer;
    form.turn = offer;
    const photo = photoField(one("[data-photo]", form), key, draft);
    return async () => {
      if (!reason.value || !measure.value) { refuse(form, say("need_reason"), reason); return; }
      const files = [photo.file()].filter(Boolean);
      await saved([{
        s10: stop.s10, kind: stage === "pickup" ? "pickup_failed" : "attempt_failed", reason: reason.value,
        measure: measure.value, ...(files.length ? { evidence: { files } } : {}),
      }], key);
    };
  };

  const showStop = async (s10) => {
    const at = location.hash;
    const stop = await LT.stop(s10);
    if (!stop || !tables) { location.hash = "#/"; return; }
    const seen = sessionStorage.getItem(`label-${s10}`);
    const page = fill(view("stop"), {
      ...factsOf(stop), alarm: seen === "false" ? say("label_false") : stop.task === "done" ? say("already_done") : null,
      label: seen === "right" ? say("label_right") : null,
      fail: say(tables.before.includes(stop.status) ? "fail_pickup" : "fail_delivery"),
      papers: say("papers", { n: stop.checklist.map(([, name]) => name).join("; ") }),
    });
    if (stop.phone) {
      const call = one("[data-call]", page);
      call.href = `tel:${stop.phone}`;
      call.textContent = say("call", { n: stop.phone });
      call.hidden = false;
    }
    const shown = [];
    if (stop.task !== "done") {
      if (tables.before.includes(stop.status)) shown.push(["collect", collectForm]);
      else if (tables.at_door.includes(stop.status)) shown.push(["deliver", deliverForm]);
      if (stop.status !== "delivered_pending_evidence" && shown.length) shown.push(["fail", failForm]);
    }
    one("[data-fail]", page).hidden = !shown.some(([name]) => name === "fail");
    for (const [name, build] of shown) {
      const form = one(`[data-form=${name}]`, page);
      const key = `${s10}/${name}`;
      const draft = await LT.read("drafts", (store) => store.get(key)) ?? {};
      drafts.set(key, draft);
      form.hidden = false;
      const submit = build(form, stop, key, draft);
      restore(form, draft.fields);
      form.turn?.();
      if (name === "fail") restore(form, draft.fields);
      form.addEventListener("input", () => keepDraft(key, { fields: fieldsOf(form) }).catch(bad));
      form.addEventListener("submit", once(async () => { refuse(form, ""); await submit(); }));
    }
    for (const kind of stop.task === "done" ? [] : tables.moves[stop.status] ?? []) {
      const button = made("button", { type: "button", class: "button quiet large" }, say(`move_${kind}`));
      button.onclick = once(() => saved([{ s10, kind }], `${s10}/move`));
      one("[data-moves]", page).append(button);
    }
    for (const note of stop.notes ?? []) one("[data-notes]", page).append(made("li", {}, pick(note)));
    mount(page, at);
  };

  // scanning

  const showScan = async (bulk) => {
    const at = location.hash;
    if (!tables) { location.hash = "#/"; return; }
    const page = fill(view("scan"), { title: say(bulk ? `bulk_${bulk}` : "scan_title"), why: bulk ? "" : say("scan_why") });
    const said = one("[data-said]", page);
    const box = one("[data-box]", page);
    const typed = one("#c-typed", page);
    const expected = bulk ? (await LT.stops()).filter((stop) => stop.task === bulk) : [];
    const key = `scan/${bulk}`;
    const before = bulk ? await LT.read("drafts", (store) => store.get(key)) : null;
    const seen = new Set(before?.seen ?? []);
    const unknown = new Set(before?.unknown ?? []);
    const answer = (text, tone) => {
      Object.assign(said, { textContent: text, hidden: false, className: `c-said ${tone}` });
      buzz(tone === "good" ? 40 : [80, 60, 80]);
    };
    const draw = () => {
      const codes = (name, list) => one(`[data-${name}]`, app).replaceChildren(...list.map((s10) => made("li", {}, spaced(s10))));
      codes("missing", expected.map((stop) => stop.s10).filter((s10) => !seen.has(s10)));
      codes("seen", [...seen]);
      codes("unknown", [...unknown]);
      fill(app, { count: say("count", { n: seen.size, m: expected.length }) });
      const commit = one("[data-do=commit]", app);
      commit.textContent = say(`commit_${bulk}`, { n: seen.size });
      commit.disabled = !seen.size;
    };
    const found = async (text) => {
      const label = await LT.readLabel(text, LT.stop);
      if (!label) { answer(say("bad_number"), "bad"); return; }
      const { s10, stop } = label;
      if (label.label !== "unknown") sessionStorage.setItem(`label-${s10}`, label.label);
      if (label.label === "false") { answer(`${spaced(s10)}: ${say("label_false")}`, "bad"); return; }
      if (!bulk) {
        if (!stop) { answer(`${spaced(s10)}: ${say("not_mine")}`, "bad"); return; }
        location.hash = `#/stop/${s10}`;
        return;
      }
      if (!expected.some((row) => row.s10 === s10)) { unknown.add(s10); answer(`${spaced(s10)}: ${say("not_mine")}`, "bad"); }
      else if (seen.has(s10)) answer(say("scanned_twice", { n: spaced(s10) }), "warn");
      else { seen.add(s10); answer(say("scanned", { n: spaced(s10) }), "good"); }
      await LT.transact(["drafts"], "readwrite", (store) => { store("drafts").put({ seen: [...seen], unknown: [...unknown] }, key); });
      draw();
    };
    one("[data-typed]", page).onsubmit = once(async () => { await found(typed.value); typed.value = ""; typed.focus(); });
    one("[data-label-photo]", page).onchange = once(async (event) => {
      const file = event.target.files[0];
      if (!file) return;
      try {
        const codes = await LT.scan.ask(file);
        if (!codes.some((code) => code.s10)) answer(say("no_code_in_photo"), "warn");
        for (const code of codes) if (code.s10) await found(code.text);
      } catch (error) { answer(say(error.problem === "sign-in" ? "sign-in" : "photo_needs_network"), "warn"); }
      event.target.value = "";
    });
    one("[data-do=camera]", page).onclick = once(async () => {
      if (!await LT.scan.able()) { answer(say("no_detector"), "warn"); return; }
      try {
        box.hidden = false;
        await LT.scan.start(one("video", box), (text) => found(text).catch(bad));
        const light = LT.scan.torch();
        const button = one("[data-do=torch]", app);
        button.hidden = !light;
        button.onclick = light;
      } catch { box.hidden = true; answer(say("no_camera"), "warn"); }
    });
    const KIND = { take_out: "out_for_delivery", hand_in: "arrived_origin_office" };
    one("[data-do=commit]", page).onclick = once(async () => {
      const kind = KIND[bulk];
      if (kind) await saved([...seen].map((s10) => ({ s10, kind })), key);
      else answer(say("commit_deliver", { n: seen.size }), seen.size === expected.length ? "good" : "warn");
    });
    one("[data-bulk]", page).hidden = !bulk;
    if (!mount(page, at)) return;
    if (bulk) draw();
    typed.focus();
  };

  // the outbox

  const problemWords = (found) => found.problem ? say(found.problem, { name: found.name ?? "" }) : null;
  let total = 0;
  let leaving = false;
  let leaveSaid = null;

  const showChip = async () => {
    const found = await LT.summary();
    const chip = one("#chip");
    const text = found.problem === "sign-in" ? say("sign_in_chip")
      : found.trouble ? say("trouble", { n: found.trouble })
        : found.unsent ? say("waiting", { n: found.unsent }) : say("all_sent");
    chip.className = `c-chip ${found.trouble || found.problem === "sign-in" ? "bad" : found.unsent ? "warn" : "good"}`;
    fill(chip, { text });
    return found;
  };

  const showOutbox = async () => {
    const at = location.hash;
    const found = await showChip();
    const page = fill(view("outbox"), {
      state: found.unsent ? say("waiting_files", { n: found.queued, m: found.files }) : say("all_sent"),
      next: problemWords(found) ?? (found.sent_at ? say("sent_at", { when: clock(found.sent_at) }) : ""),
    });
    const progress = one("[data-progress]", page);
    total = Math.max(total, found.unsent);
    progress.hidden = !found.unsent;
    progress.max = total || 1;
    progress.value = total - found.unsent;
    one("[data-sign-in]", page).hidden = found.problem !== "sign-in";
    await drawTrouble(page);
    const off = Math.round((found.skew_ms ?? 0) / 60_000);
    const about = {
      about_courier: `${found.name ?? "–"} (${found.courier ?? "–"})`, about_device: found.device_id, about_seq: found.seq,
      about_clock: off ? say(off > 0 ? "clock_ahead" : "clock_behind", { n: Math.abs(off) }) : say("clock_ok"),
    };
    for (const [key, value] of Object.entries(about)) one("[data-about]", page).append(made("dt", {}, say(key)), made("dd", {}, value));
    fill(page, { leave: leaveSaid });
    one("[data-do=flush]", page).onclick = () => send(true);
    one("[data-do=export]", page).onclick = once(saveRescue);
    one("[data-import]", page).onchange = once(takeRescue);
    one("[data-do=leave]", page).onclick = once(leave);
    const install = one("[data-do=install]", page);
    install.hidden = !offered;
    install.onclick = () => offered?.prompt();
    const update = one("[data-do=update]", page);
    update.hidden = !(await navigator.serviceWorker?.getRegistration("/courier"))?.waiting || found.unsent > 0;
    update.onclick = async () => (await navigator.serviceWorker.getRegistration("/courier")).waiting?.postMessage("take-over");
    const folded = all("details", app).map((part) => part.open);
    all("details", page).forEach((part, index) => { part.open = folded[index] ?? false; });
    mount(page, at);
  };

  const drawTrouble = async (page) => {
    const rows = (await Promise.all(LT.TROUBLE.map((state) => LT.read("events", (store) => store.index("state").getAll(state))))).flat();
    const files = await LT.read("files", (store) => store.index("state").getAll("refused"));
    one("[data-trouble-box]", page).hidden = !rows.length && !files.length;
    const list = one("[data-trouble]", page);
    const put = (store, row, state) => async () => {
      await LT.transact([store], "readwrite", (open) => { open(store).put({ ...row, state }); });
      if (state === "queued") send(true);
      await showOutbox();
    };
    for (const [store, row] of [...rows.map((row) => ["events", row]), ...files.map((row) => ["files", row])]) {
      const what = store === "files" ? say("k_file") : `${sentences.get(`k_${row.event.kind}`) ?? sentences.get(`move_${row.event.kind}`) ?? row.event.kind} · ${spaced(row.event.s10)}`;
      const item = fill(view("trouble"), { what, words: row.words ? pick(row.words) : "", when: clock(row.made) });
      one("[data-act=again]", item).onclick = put(store, row, "queued");
      one("[data-act=settle]", item).onclick = put(store, row, "settled");
      list.append(item);
    }
  };

  const saveRescue = async () => {
    const parcel = await LT.rescue();
    const link = made("a", { download: `buu-ta-${parcel.device_id.slice(-6)}-${parcel.made.slice(0, 10)}.json` });
    link.href = URL.createObjectURL(new Blob([JSON.stringify(parcel)], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    leaving = true;
  };
  const takeRescue = async (event) => {
    const file = event.target.files[0];
    if (!file) return;
    try {
      const taken = await LT.takeIn(JSON.parse(await file.text()));
      tell(say("taken_in", { n: taken }));
      send(true);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
      tell(say("bad_file"), "bad");
    }
    await showOutbox();
  };

  // Signing out empties the phone: with anything unsent it is refused until a rescue file was saved.
  const leave = async () => {
    await LT.sync.flush();
    const { unsent, trouble } = await LT.summary();
    if (unsent + trouble > 0 && !leaving) {
      leaveSaid = say("leave_refused", { n: unsent + trouble });
      await showOutbox();
      tell(leaveSaid, "bad");
      return;
    }
    const form = one("[data-logout]", app);
    form.elements.csrf.value = await LT.meta("csrf") ?? "";
    await LT.forget();
    form.submit();
  };

  // the way round

  const route = async () => {
    LT.scan.stop();
    const [, page, argument] = location.hash.split("/");
    if (page === "stop") await showStop(argument);
    else if (page === "scan") await showScan(argument);
    else if (page === "outbox") await showOutbox();
    else await showRound();
    for (const link of all(".c-bar a")) {
      const here = link.getAttribute("href").split("/")[1] === (page ?? "") || (page === "stop" && link.hash === "#/");
      if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    scrollTo(0, 0);
    await showChip();
  };

  const send = async (asked) => {
    const worker = await navigator.serviceWorker?.getRegistration("/courier");
    worker?.sync?.register("flush").catch(() => {});
    await LT.sync.flush();
    const found = await showChip();
    if (asked && found.problem) tell(problemWords(found), "warn");
    if (location.hash.startsWith("#/outbox")) await showOutbox();
  };

  let offered = null;
  addEventListener("beforeinstallprompt", (event) => { event.preventDefault(); offered = event; });
  addEventListener("hashchange", () => route().then(() => app.focus(), bad));
  addEventListener("online", () => send());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) send(); });
  setInterval(() => { if (!document.hidden) send(); }, 60_000 * (0.8 + Math.random() * 0.4));
  let drawing = false;
  const heard = async (what) => {
    if (what === "round") tables = await LT.meta("tables");
    if (drawing) return;
    drawing = true;
    try {
      if (location.hash.startsWith("#/outbox")) await showOutbox(); else await showChip();
      if (/^#?\/?$/.test(location.hash) && what === "end") await showRound();
    } finally { drawing = false; }
  };
  addEventListener("lien-thong", (event) => heard(event.detail).catch(bad));
  LT.sync.news.addEventListener("message", (event) => heard(event.data).catch(bad));

  const sun = one("#sun");
  const shine = (on) => {
    document.documentElement.classList.toggle("sun", on);
    sun.setAttribute("aria-pressed", String(on));
    localStorage.setItem("sun", on ? "1" : "");
  };
  sun.onclick = () => shine(sun.getAttribute("aria-pressed") !== "true");
  shine(Boolean(localStorage.getItem("sun")));

  await route();
  navigator.storage?.persist?.().catch(() => {});
  const worker = navigator.serviceWorker?.register("/courier/sw.js", { scope: "/courier" }).catch(() => null);
  if (navigator.serviceWorker?.controller) navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
  if (await LT.meta("courier") && (await LT.summary()).unsent) await send();
  await refresh(false);
  await worker;
  document.documentElement.dataset.ready = "1";
})();

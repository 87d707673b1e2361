// What the phone keeps: the round, the facts waiting to be sent, files and drafts. Shared by the page and its worker.
// Nothing here expires, and no version ever drops a store.
"use strict";
self.LT = (() => {
  const NAME = "lien-thong-courier";
  const SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXY";
  const BALLAST = 512 * 1024;
  let opened;

  const open = () => opened ??= new Promise((done, fail) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      const db = asked.result;
      db.createObjectStore("meta");
      db.createObjectStore("stops", { keyPath: "s10" });
      const events = db.createObjectStore("events", { keyPath: "n", autoIncrement: true });
      events.createIndex("id", "id", { unique: true });
      events.createIndex("state", "state");
      const files = db.createObjectStore("files", { keyPath: "sha256" });
      files.createIndex("state", "state");
      db.createObjectStore("blobs");
      db.createObjectStore("drafts");
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => { asked.result.close(); opened = undefined; };
      done(asked.result);
    };
    asked.onerror = () => { opened = undefined; fail(asked.error); };
  });

  const got = (request) => new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });

  // One transaction: all of it is on the disk when the promise answers, or none of it is.
  const transact = async (stores, mode, work) => {
    const db = await open();
    return new Promise((done, fail) => {
      const tx = db.transaction(stores, mode, { durability: "strict" });
      let result;
      tx.oncomplete = () => done(result);
      tx.onabort = () => fail(tx.error ?? new DOMException("aborted", "AbortError"));
      Promise.resolve(work((name) => tx.objectStore(name))).then(
        (value) => { result = value; },
        (error) => { try { tx.abort(); } catch { /* ended already */ } fail(error); },
      );
    });
  };
  const read = (name, ask) => transact([name], "readonly", (store) => got(ask(store(name))));
  const meta = (key) => read("meta", (store) => store.get(key));
  const setMeta = (values) => transact(["meta"], "readwrite", (store) => {
    for (const [key, value] of Object.entries(values)) store("meta").put(value, key);
  });

  const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const bytesOf = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const sha256 = async (content) =>
    hex(await crypto.subtle.digest("SHA-256", typeof content === "string" ? new TextEncoder().encode(content) : content));

  const uuid7 = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    let moment = Date.now();
    for (let index = 5; index >= 0; index -= 1) { bytes[index] = moment % 256; moment = Math.floor(moment / 256); }
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return hex(bytes.buffer).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };

  // An item number (UPU S10) in compact form, or null when its form or check digit is wrong.
  const itemNumber = (text) => {
    const match = /^([A-Z]{2})(\d{8})(\d)([A-Z]{2})$/.exec(text.replace(/\s+/g, "").toUpperCase());
    if (!match) return null;
    const weights = [8, 6, 4, 2, 3, 5, 9, 7];
    const rest = 11 - [...match[2]].reduce((sum, digit, index) => sum + weights[index] * digit, 0) % 11;
    return Number(match[3]) === ({ 10: 0, 11: 5 }[rest] ?? rest) ? match[0] : null;
  };

  // The content of a label: its number, and whether its short code is right, false, or absent.
  const readLabel = async (text, stopOf) => {
    let token = null;
    let typed = text.trim();
    try {
      const address = new URL(typed);
      token = address.searchParams.get("k");
      typed = address.pathname.split("/").pop();
    } catch { /* a bare number */ }
    const s10 = itemNumber(typed);
    if (!s10) return null;
    const stop = await stopOf(s10);
    const seen = token && stop ? (await sha256(token)) === stop.label_seal : null;
    return { s10, stop, label: seen === null ? "unknown" : seen ? "right" : "false" };
  };

  const compactCode = (typed) => typed.toUpperCase().replace(/[^0-9A-Z]/g, "")
    .replace(/[OILZU]/g, (letter) => ({ O: "0", I: "1", L: "1", Z: "2", U: "V" })[letter]);
  const codeIsRight = async (typed, seal) => {
    const code = compactCode(typed);
    if (code.length !== 8 || [...code].some((symbol) => !SYMBOLS.includes(symbol))) return false;
    const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(code), "PBKDF2", false, ["deriveBits"]);
    const salt = bytesOf(seal.salt);
    const made = { name: "PBKDF2", hash: "SHA-256", salt, iterations: seal.rounds };
    return hex(await crypto.subtle.deriveBits(made, key, 256)) === seal.digest;
  };

  const ready = () => transact(["meta"], "readwrite", async (store) => {
    const known = await got(store("meta").get("device_id"));
    if (known) return known;
    const made = `phone-${uuid7()}`;
    store("meta").put(made, "device_id");
    store("meta").put(0, "seq");
    store("meta").put(new ArrayBuffer(BALLAST), "ballast");
    return made;
  });

  // Only what the server has confirmed is ever thrown away, and pictures that no fact came to name.
  const tidy = () => transact(["events", "files", "blobs", "drafts"], "readwrite", async (store) => {
    const old = Date.now() - 14 * 86_400_000;
    for (const row of await got(store("events").index("state").getAll("stored"))) if (row.made < old) store("events").delete(row.n);
    if (await got(store("drafts").count())) return;
    for (const file of await got(store("files").index("state").getAll("draft"))) {
      if (file.made < Date.now() - 86_400_000) { store("files").delete(file.sha256); store("blobs").delete(file.sha256); }
    }
  });

  const full = (error) => error?.name === "QuotaExceededError";

  // Facts first: the ballast, then pictures already stored by the server, make room for them.
  const makeRoom = () => transact(["meta", "files", "blobs"], "readwrite", async (store) => {
    store("meta").delete("ballast");
    for (const sha of await got(store("files").index("state").getAllKeys("stored"))) store("blobs").delete(sha);
  });

  // Write facts: sequence, facts, their files and the new look of the stops, in one transaction.
  const record = async (facts, { draft } = {}) => {
    const write = () => transact(["meta", "events", "files", "stops", "drafts"], "readwrite", async (store) => {
      const owner = await got(store("meta").get("courier"));
      const device_id = await got(store("meta").get("device_id"));
      const { leads } = await got(store("meta").get("tables"));
      let seq = await got(store("meta").get("seq"));
      for (const fact of facts) {
        seq += 1;
        const event = { event_id: fact.event_id ?? uuid7(), occurred_at: new Date().toISOString(), ...fact, device_id, device_seq: seq };
        store("events").add({ id: event.event_id, owner, state: "queued", event, made: Date.now(), tries: 0 });
        for (const { sha256: sha, kind } of event.evidence?.files ?? []) {
          const file = await got(store("files").get(sha));
          if (file?.state === "draft") store("files").put({ ...file, kind, state: "queued", event_id: event.event_id });
        }
        const stop = await got(store("stops").get(event.s10));
        const after = leads[event.kind];
        if (stop && after) {
          const cash = event.cash_collected_dong ? 0 : stop.cash_due_dong;
          const seal_number = event.evidence?.seal_number ?? stop.seal_number;
          store("stops").put({ ...stop, status: after[0], task: after[1], cash_due_dong: cash, seal_number, unsent: event.event_id, done_at: after[1] === "done" ? Date.now() : null });
        }
      }
      store("meta").put(seq, "seq");
      if (draft) store("drafts").delete(draft);
    });
    try {
      await write();
    } catch (error) {
      if (!full(error)) throw error;
      await makeRoom();
      await write();
    }
  };

  const keepFile = async (bytes, type, kind) => {
    const space = await navigator.storage?.estimate?.();
    if (space?.quota && space.usage / space.quota > 0.95) throw new DOMException("nearly full", "QuotaExceededError");
    const sha = await sha256(bytes);
    await transact(["files", "blobs"], "readwrite", async (store) => {
      const known = await got(store("files").get(sha));
      if (known && known.state !== "draft") return;
      store("files").put({ sha256: sha, kind, type, size: bytes.byteLength, state: "draft", made: Date.now() });
      store("blobs").put(bytes, sha);
    });
    return { kind, sha256: sha };
  };

  const stops = () => read("stops", (store) => store.getAll());
  const stop = (s10) => read("stops", (store) => store.get(s10));

  // The server's round replaces ours, except where the phone knows more: items with a fact on its way.
  const takeRound = (round) => transact(["meta", "stops", "events"], "readwrite", async (store) => {
    const before = new Map((await got(store("stops").getAll())).map((row) => [row.s10, row]));
    const waiting = new Set((await got(store("events").index("state").getAll("queued"))).map((row) => row.event.s10));
    store("stops").clear();
    for (const row of round.stops) {
      const known = before.get(row.s10);
      before.delete(row.s10);
      store("stops").put(waiting.has(row.s10) && known ? known : { ...row, tries: known?.tries ?? 0 });
    }
    const today = new Date().toDateString();
    for (const row of before.values()) {
      const doneToday = row.done_at && new Date(row.done_at).toDateString() === today;
      if (waiting.has(row.s10) || doneToday) store("stops").put(row);
    }
    const { stops: _, ...tables } = round;
    store("meta").put(tables, "tables");
    store("meta").put(round.courier, "courier");
    store("meta").put(round.name, "name");
    store("meta").put(round.csrf, "csrf");
    store("meta").put(Date.now(), "round_at");
  });

  const TROUBLE = ["conflict", "unknown_item", "rejected", "flagged"];
  const summary = () => transact(["events", "files", "meta"], "readonly", async (store) => {
    const counts = {};
    for (const state of ["queued", ...TROUBLE, "stored", "settled"]) {
      counts[state] = await got(store("events").index("state").count(state));
    }
    counts.files = await got(store("files").index("state").count("queued"));
    counts.refused = await got(store("files").index("state").count("refused"));
    counts.trouble = TROUBLE.reduce((sum, state) => sum + counts[state], 0) + counts.refused;
    counts.unsent = counts.queued + counts.files;
    for (const key of ["seq", "skew_ms", "device_id", "courier", "name", "sent_at", "problem"]) {
      counts[key] = await got(store("meta").get(key));
    }
    return counts;
  });

  const rescue = () => transact(["events", "files", "blobs", "meta"], "readonly", async (store) => {
    const events = (await got(store("events").getAll())).filter((row) => row.state !== "stored");
    const files = [];
    for (const file of await got(store("files").getAll())) {
      const bytes = file.state !== "stored" && await got(store("blobs").get(file.sha256));
      if (bytes) {
        const text = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join("");
        files.push({ ...file, base64: btoa(text) });
      }
    }
    const device_id = await got(store("meta").get("device_id"));
    const skew_ms = await got(store("meta").get("skew_ms")) ?? 0;
    return { format: "lien-thong-courier-rescue", version: 1, made: new Date().toISOString(), device_id, skew_ms, events, files };
  });
  const takeIn = async (parcel) => {
    if (parcel?.format !== "lien-thong-courier-rescue" || parcel.version !== 1) throw new TypeError("not a rescue file");
    const files = [];
    for (const { base64, ...file } of parcel.files) {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
      if (await sha256(bytes) !== file.sha256) throw new TypeError("a picture was altered");
      files.push([file, bytes]);
    }
    return transact(["events", "files", "blobs", "meta"], "readwrite", async (store) => {
      let taken = 0;
      for (const { n: _, ...row } of parcel.events) {
        if (await got(store("events").index("id").getKey(row.id)) !== undefined) continue;
        store("events").add(row);
        taken += 1;
      }
      for (const [file, bytes] of files) {
        if (await got(store("files").getKey(file.sha256)) !== undefined) continue;
        store("files").put(file);
        store("blobs").put(bytes, file.sha256);
      }
      const clocks = await got(store("meta").get("clocks")) ?? {};
      store("meta").put({ ...clocks, [parcel.device_id]: parcel.skew_ms }, "clocks");
      return taken;
    });
  };

  // After signing out nobody's name stays on the phone; who it is and how far it has counted does.
  const forget = () => transact(["meta", "stops", "drafts", "events", "files", "blobs"], "readwrite", async (store) => {
    for (const name of ["stops", "drafts", "events", "files", "blobs"]) store(name).clear();
    for (const key of ["courier", "name", "csrf", "tables", "round_at", "problem"]) store("meta").delete(key);
  });

  return {
    PART: 128 * 1024, // bytes of a file sent at once
    TROUBLE, transact, got, read, meta, setMeta, sha256, uuid7, readLabel, codeIsRight,
    ready, record, keepFile, full, stops, stop, takeRound, tidy, summary, rescue, takeIn, forget,
  };
})();

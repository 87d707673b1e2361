// Brings facts and files home, from the page or from its worker, for as long as it takes. One at a time on one phone.
"use strict";
LT.sync = (() => {
  const BATCH = 500;
  const news = new BroadcastChannel("lien-thong-courier");
  const say = (what) => {
    news.postMessage(what);
    self.dispatchEvent?.(new CustomEvent("lien-thong", { detail: what }));
  };

  class Stop extends Error {
    constructor(problem, after = 0) { super(problem); this.problem = problem; this.after = after; }
  }

  // A call to our own service. Network trouble and refusals that pass with time end the run; the rest is answered.
  const call = async (method, path, { body, headers = {}, json = true } = {}) => {
    const begun = Date.now();
    const csrf = await LT.meta("csrf") ?? "";
    let response;
    try {
      response = await fetch(path, {
        method, redirect: "error", cache: "no-store",
        headers: { accept: "application/json", "x-csrf-token": csrf, ...(body && json ? { "content-type": "application/json" } : {}), ...headers },
        body: body && json ? JSON.stringify(body) : body,
      });
    } catch { throw new Stop("offline"); }
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) {
      const skew_ms = Math.round((begun + Date.now()) / 2 - date - 500);
      await LT.setMeta({ skew_ms });
    }
    if (response.status === 401) throw new Stop("sign-in");
    if (response.status === 429 || response.status >= 502) throw new Stop("busy", Number(response.headers.get("retry-after") ?? 0));
    const answer = await response.json().catch(() => ({}));
    return { status: response.status, ok: response.ok, answer };
  };

  const session = async () => {
    const { ok, answer } = await call("GET", "/courier/sync/session");
    if (!ok) throw new Stop("refused");
    await LT.setMeta({ csrf: answer.csrf });
    return answer;
  };

  const round = async () => {
    const { ok, answer } = await call("GET", "/courier/sync/round");
    if (!ok) throw new Stop("refused");
    const owner = await LT.meta("courier");
    // Another courier's facts stay under that courier's name: they wait for that sign-in.
    if (owner && owner !== answer.courier && (await LT.summary()).unsent) throw new Stop("another");
    await LT.takeRound(answer);
    await LT.tidy();
    await tellOfMyself();
    say("round");
    return answer;
  };

  const stateOf = (answer) => {
    if (["conflict", "unknown_item", "rejected"].includes(answer.result)) return answer.result;
    return answer.attention ? "flagged" : "stored";
  };

  const settle = (rows, answers) => LT.transact(["events", "meta", "stops"], "readwrite", async (store) => {
    for (const [index, row] of rows.entries()) {
      const answer = answers[index];
      const state = stateOf(answer);
      store("events").put({ ...row, state, words: answer.words, anomaly: answer.anomaly, answered: Date.now() });
      const stop = await LT.got(store("stops").get(row.event.s10));
      if (stop?.unsent === row.id && state === "stored") store("stops").put({ ...stop, status: answer.status ?? stop.status, unsent: null });
    }
    store("meta").put(Date.now(), "sent_at");
  });

  const report = async () => {
    const found = await LT.summary();
    return {
      device_id: found.device_id, last_seq: found.seq, unsent_events: found.queued,
      unsent_files: found.files, clock_skew_ms: found.skew_ms ?? 0,
    };
  };

  // So that a dispatcher knows what is still in a pocket, and when this phone was last heard.
  const tellOfMyself = async () => call("POST", "/courier/sync/events", { body: { device: await report(), events: [] } });

  // A batch that the service cannot digest is halved until the one fact that spoils it stands alone, in the tray.
  const send = async (rows) => {
    const device = await report();
    const others = await LT.meta("clocks") ?? {};
    const clocks = Object.entries({ ...others, [device.device_id]: device.clock_skew_ms })
      .map(([device_id, skew_ms]) => ({ device_id, skew_ms }));
    device.unsent_events -= rows.length;
    const body = { device, clocks, events: rows.map((row) => row.event) };
    const { status, ok, answer } = await call("POST", "/courier/sync/events", { body });
    if (ok) {
      await settle(rows, answer.results);
      return say("events");
    }
    if (status === 403) throw new Stop("refused");
    if (rows.length > 1) {
      const half = rows.length >> 1;
      await send(rows.slice(0, half));
      return send(rows.slice(half));
    }
    if (status >= 500 && rows[0].tries < 5) {
      await LT.transact(["events"], "readwrite", (store) => { store("events").put({ ...rows[0], tries: rows[0].tries + 1 }); });
      throw new Stop("busy");
    }
    const words = [answer.detail ?? String(status)];
    await settle(rows, [{ result: "rejected", words }]);
  };

  const sendEvents = async (courier) => {
    let sent = 0;
    for (;;) {
      const queued = await LT.read("events", (store) => store.index("state").getAll("queued"));
      const rows = queued.filter((row) => row.owner === courier).slice(0, BATCH);
      if (!rows.length) return sent;
      await send(rows);
      sent += rows.length;
    }
  };

  const mark = (sha256, change, dropBytes) => LT.transact(["files", "blobs"], "readwrite", async (store) => {
    const file = await LT.got(store("files").get(sha256));
    store("files").put({ ...file, ...change });
    if (dropBytes) store("blobs").delete(sha256);
  });

  const sendFile = async (file) => {
    const bytes = await LT.read("blobs", (store) => store.get(file.sha256));
    if (!bytes) return mark(file.sha256, { state: "refused", words: ["Ảnh không còn trên máy.", "The picture is no longer on the phone."] });
    const body = { sha256: file.sha256, media_type: file.type, size_bytes: bytes.byteLength };
    let { status, ok, answer } = await call("POST", "/v1/evidence", { body });
    while (ok && !answer.complete) {
      const part = bytes.slice(answer.offset, answer.offset + LT.PART);
      const headers = { "upload-offset": String(answer.offset), "content-type": "application/octet-stream" };
      ({ status, ok, answer } = await call("PATCH", `/v1/evidence/${file.sha256}`, { body: part, headers, json: false }));
      if (status === 409 && Number.isInteger(answer.offset)) { ok = true; answer.complete = false; }
    }
    if (ok) await mark(file.sha256, { state: "stored" }, true);
    else if (status === 409 || status === 500 || status === 403) throw new Stop("busy");
    else await mark(file.sha256, { state: "refused", words: [answer.detail] });
    say("files");
  };

  const sendFiles = async () => {
    const files = await LT.read("files", (store) => store.index("state").getAll("queued"));
    for (const file of files) await sendFile(file);
    return files.length;
  };

  let failures = 0;
  let timer;
  const attempt = async () => {
    if (!(await LT.summary()).unsent) return;
    say("begin");
    let problem = null;
    try {
      const { courier } = await session();
      while (await sendEvents(courier) + await sendFiles() > 0);
      if ((await LT.summary()).queued) problem = "another";
      else await tellOfMyself();
      failures = 0;
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      problem = error.problem;
      failures += 1;
      const wait = Math.max(error.after * 1000, Math.min(300_000, 2_000 * 2 ** Math.min(failures, 8)));
      clearTimeout(timer);
      if (problem !== "sign-in") timer = setTimeout(() => flush(), wait * (0.5 + Math.random()));
    } finally {
      await LT.setMeta({ problem });
      say("end");
    }
  };
  const flush = () => navigator.locks
    ? navigator.locks.request("lien-thong-flush", { ifAvailable: true }, (lock) => lock ? attempt() : undefined)
    : attempt();

  return { call, session, round, flush, say, news, Stop };
})();

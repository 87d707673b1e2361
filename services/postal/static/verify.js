"use strict";
// Checks a receipt in the browser, without sending it anywhere. Works from a saved copy of the page, offline.
(() => {
  const $ = (id) => document.getElementById(id);
  const vi = document.documentElement.lang === "vi";
  const say = (pair) => (vi ? pair[0] : pair[1]);
  const utf8 = (text) => new TextEncoder().encode(text);
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  const hex = (content) => Array.from(content, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const join = (...parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { whole.set(part, at); at += part.length; }
    return whole;
  };
  const sha256 = async (content) => new Uint8Array(await crypto.subtle.digest("SHA-256", content));

  async function leadsTo(entry, index, size, path, root) { // RFC 6962
    if (!(index >= 0 && index < size)) return false;
    let found = await sha256(join(Uint8Array.of(0), entry));
    let last = size - 1;
    const steps = path.map(bytes);
    while (last > 0) {
      if (index % 2 || index < last) {
        const neighbour = steps.shift();
        if (!neighbour) return false;
        found = await sha256(index % 2 ? join(Uint8Array.of(1), neighbour, found) : join(Uint8Array.of(1), found, neighbour));
      }
      index = Math.floor(index / 2);
      last = Math.floor(last / 2);
    }
    return steps.length === 0 && hex(found) === root;
  }

  function sameFacts(receipt, body) {
    const evidence = body.evidence;
    const ordered = (list) => JSON.stringify([...list].sort((a, b) => a - b));
    const ticked = receipt.pieces.filter((piece) => piece.collected).map((piece) => piece.position);
    return body.shipment_id === receipt.shipment_id
      && ["collected", "partially_collected"].includes(body.kind)
      && body.actor === receipt.collected_by
      && Date.parse(body.occurred_at) - (body.skew_ms || 0) === Date.parse(receipt.collected_at)
      && evidence.seal_number === receipt.seal_number
      && evidence.page_count === receipt.page_count
      && ordered(evidence.collected_positions) === ordered(ticked)
      && evidence.citizen_signature_sha256 === receipt.sender_signature_sha256
      && evidence.courier_signature_sha256 === receipt.courier_signature_sha256;
  }

  async function check(bundle, knownSeal) {
    const { receipt, fact, root, proof } = bundle;
    const link = hex(await sha256(utf8(`${fact.prev_hash}\n${fact.body}`)));
    const results = [
      [link === fact.hash && fact.hash === receipt.event_hash,
        ["Sự kiện nhận hồ sơ còn nguyên như khi ghi", "The record of the pickup is as it was written"]],
      [sameFacts(receipt, JSON.parse(fact.body)),
        ["Biên nhận khớp với sự kiện đã ghi", "The receipt says what the record says"]],
    ];
    if (!root || !proof) {
      results.push([null, ["Ngày này chưa niêm phong; tải lại biên nhận vào ngày mai",
        "The day is not sealed yet: download the receipt again tomorrow"]]);
      return results;
    }
    const inside = proof.size === root.size
      && await leadsTo(bytes(fact.hash), proof.index, proof.size, proof.path, root.root);
    const text = `custody-root/1\n${root.day}\n${root.size}\n${root.root}\n${root.previous_seal}\n`;
    results.push(
      [inside, [`Sự kiện nằm trong sổ của ngày ${root.day}`, `The record is in the book of ${root.day}`]],
      [hex(await sha256(utf8(text))) === root.seal,
        ["Dấu niêm phong của ngày khớp với sổ", "The seal of the day fits its book"]],
    );
    if (knownSeal) {
      results.push([knownSeal === root.seal, ["Trùng dấu niêm phong bạn đã biết", "It is the seal you know"]]);
    }
    return results;
  }

  function show(results, seal) {
    const wrong = results.some(([passed]) => passed === false);
    const waits = results.some(([passed]) => passed === null);
    const verdict = $("verdict");
    verdict.dataset.verdict = wrong ? "wrong" : waits ? "waits" : "right";
    verdict.textContent = say(wrong
      ? ["SAI: biên nhận hoặc sổ đã bị sửa", "WRONG: the receipt or the record was changed"]
      : waits ? ["Đúng đến nay; ngày này chưa niêm phong", "Right so far; the day is not sealed yet"]
        : ["ĐÚNG: không có gì bị sửa", "RIGHT: nothing was changed"]);
    $("checks").replaceChildren(...results.map(([passed, words]) => {
      const line = document.createElement("li");
      const mark = passed === null ? ["chưa kiểm được", "not yet"] : passed ? ["đúng", "yes"] : ["sai", "no"];
      line.textContent = `${say(words)}: ${say(mark)}`;
      line.dataset.passed = String(passed);
      return line;
    }));
    $("seal").textContent = seal ? `${seal.day}: ${seal.seal}` : "—";
    $("result").hidden = false;
  }

  async function run(text) {
    try {
      const bundle = JSON.parse(text);
      const known = $("known-seal").value.trim().toLowerCase();
      show(await check(bundle, known), bundle.root);
    } catch {
      show([[false, ["Tệp này không phải biên nhận", "This file is not a receipt"]]], null);
    }
  }

  $("verify-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = $("receipt-file").files;
    await run(file ? await file.text() : $("receipt-text").value);
  });
})();

// The camera as a bar code reader where the browser can read codes, and pictures small enough to keep and send.
"use strict";
LT.scan = (() => {
  const FORMATS = ["qr_code", "code_128", "data_matrix"];
  const EVERY = 180;
  const SAME = 2_000;
  const LONGEST = 1_600;
  const AIM = 200 * 1024;
  let stream = null;
  let timer = 0;

  const able = async () => {
    if (!("BarcodeDetector" in self) || !navigator.mediaDevices?.getUserMedia) return false;
    const known = await BarcodeDetector.getSupportedFormats().catch(() => []);
    return FORMATS.some((format) => known.includes(format));
  };

  const stop = () => {
    clearTimeout(timer);
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
  };

  // Give each code once every two seconds; the camera is let go of when the page is hidden.
  const start = async (video, found) => {
    stop();
    const known = await BarcodeDetector.getSupportedFormats();
    const detector = new BarcodeDetector({ formats: FORMATS.filter((format) => known.includes(format)) });
    const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", ...size }, audio: false });
    video.srcObject = stream;
    video.play().catch(() => {});
    const seen = new Map();
    const look = async () => {
      if (!stream) return;
      try {
        for (const { rawValue } of await detector.detect(video)) {
          const moment = Date.now();
          if (rawValue && moment - (seen.get(rawValue) ?? 0) > SAME) { seen.set(rawValue, moment); found(rawValue); }
        }
      } catch { /* a frame that could not be read */ }
      timer = setTimeout(look, EVERY);
    };
    look();
  };

  const torch = () => {
    const track = stream?.getVideoTracks()[0];
    if (!track?.getCapabilities?.().torch) return null;
    let lit = false;
    return () => { lit = !lit; track.applyConstraints({ advanced: [{ torch: lit }] }); return lit; };
  };

  const encoded = (canvas, type, quality) => new Promise((done) => { canvas.toBlob(done, type, quality); });

  // Drawing a photo anew leaves its place and camera behind; quality steps down until it is small enough.
  const shrink = async (file) => {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(image.width * scale);
    canvas.height = Math.ceil(image.height * scale);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    let blob;
    for (const quality of [0.8, 0.65, 0.5, 0.35]) {
      blob = await encoded(canvas, "image/jpeg", quality);
      if (blob.size <= AIM) break;
    }
    const bytes = await blob.arrayBuffer();
    return { bytes, type: "image/jpeg", image };
  };

  // For phones that cannot read codes: the server reads the photo of a label.
  const ask = async (file) => {
    const { bytes } = await shrink(file);
    const headers = { "content-type": "application/octet-stream" };
    const { ok, answer } = await LT.sync.call("POST", "/v1/scans", { body: bytes, headers, json: false });
    return ok ? answer.codes : [];
  };

  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
  return { able, start, stop, torch, shrink, encoded, ask };
})();

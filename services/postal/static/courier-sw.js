// Keeps the courier's page on the phone, so that it opens without signal, and brings facts home when signal returns.
"use strict";
importScripts("/static/postal/courier-store.js", "/static/postal/courier-sync.js");
const KEPT = `lien-thong-courier-${self.LT_VERSION}`;
const shell = (lang) => `/courier/app?lang=${lang === "en" ? "en" : "vi"}`;

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(KEPT);
    const wanted = [...self.LT_FILES, shell("vi"), shell("en")];
    await cache.addAll(wanted.map((path) => new Request(path, { cache: "reload", credentials: "omit" })));
  })());
});

// Old pages go only when their successor takes over; the facts are in the database, which no version touches.
self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("lien-thong-courier-") && name !== KEPT) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

const openShell = async (url) => {
  const asked = url.searchParams.get("lang");
  if (asked) await LT.setMeta({ lang: asked }).catch(() => {});
  const lang = asked ?? await LT.meta("lang").catch(() => null) ?? "vi";
  const cache = await caches.open(KEPT);
  return await cache.match(shell(lang)) ?? fetch(shell(lang));
};

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && url.pathname === "/courier/app") event.respondWith(openShell(url));
  else if (request.mode === "navigate" && url.pathname.startsWith("/courier")) {
    event.respondWith(fetch(request).catch(() => openShell(url)));
  } else if (url.pathname.startsWith("/static/")) {
    event.respondWith((async () => await (await caches.open(KEPT)).match(url.pathname) ?? fetch(request))());
  }
});

self.addEventListener("sync", (event) => {
  if (event.tag === "flush") event.waitUntil(LT.sync.flush());
});
self.addEventListener("message", (event) => {
  if (event.data === "take-over") self.skipWaiting();
});

// The little that the chat page does by itself: htmx sends, receives and swaps; this keeps order, place and unsent words.
(() => {
  const byId = (id) => document.getElementById(id);
  const log = byId("log"), composer = byId("composer"), words = byId("words"), stream = byId("stream"), down = byId("down");
  const root = document.scrollingElement;

  // --- place: the end stays in view for whoever reads there ---
  const isAtEnd = () => root.scrollHeight - root.scrollTop - root.clientHeight < 120;
  const toEnd = () => { root.scrollTop = root.scrollHeight; };
  let follows = true;
  const settle = () => {
    if (follows) toEnd();
    down.hidden = follows || isAtEnd();
  };
  addEventListener("scroll", () => {
    follows = isAtEnd();
    if (follows) down.hidden = true;
  }, { passive: true });
  down.addEventListener("click", () => { follows = true; settle(); words.focus(); });
  toEnd();

  // --- order: a message is shown once, by its id, and ids sort by time; replies in progress come last, and one that takes the place of
  // another stands there, with the focus on the button that was pressed ---
  const isMessage = (item) => item.id.startsWith("m-");
  document.addEventListener("htmx:before:swap", (event) => {
    for (const task of event.detail.tasks) {
      const item = task.fragment.firstElementChild;
      if (task.target !== log || task.swapSpec.style !== "beforeend" || !item) continue;
      const shown = byId(item.id) ?? (item.dataset.replaces && byId(item.dataset.replaces));
      if (shown && shown.id !== item.id) {
        const pressed = shown.contains(document.activeElement) && document.activeElement.value;
        const again = () => [...(byId(item.id)?.querySelectorAll(".choices button") ?? [])].find((one, _, all) => one.value === pressed || one === all.at(-1));
        if (pressed) setTimeout(() => again()?.focus({ preventScroll: true }));
      }
      const next = isMessage(item) && [...log.children].find((one) => isMessage(one) && one.id > item.id);
      if (shown) [task.target, task.swapSpec.style] = [shown, "outerHTML"];
      else if (next) [task.target, task.swapSpec.style] = [next, "beforebegin"];
    }
  });
  document.addEventListener("htmx:after:swap", () => {
    for (const item of log.querySelectorAll(".progress:has(~ [id^=m-])")) log.append(item);
    settle();
  });

  // --- signing in again: what was written waits for it ---
  const KEPT = `robbie:unsent:${composer.dataset.whose}`;
  const unsent = new Map(); // text -> id: what is sent once more keeps its id, so that it is answered once
  const putBack = (said, status = 0) => {
    byId("unsent").textContent = status === 413
      ? "That is more than I can take at once. Your words are kept here; send them in parts."
      : "I did not get that. Your words are kept here; send them once more.";
    unsent.set(said.text, said.id);
    words.value = [said.text, words.value].filter(Boolean).join("\n");
    byId("unsent").hidden = false;
  };
  const signIn = (said = null) => {
    const text = [said?.text, words.value].filter((part) => part?.trim()).join("\n");
    if (text) localStorage.setItem(KEPT, JSON.stringify({ text, id: text === said?.text ? said.id : newId() }));
    location.reload();
  };

  // --- the line to Robbie ---
  let connection = null, alarm = 0, heardAt = Date.now();
  const lose = () => { alarm ||= setTimeout(() => { byId("lost").hidden = false; }, 1500); };
  const regain = () => {
    clearTimeout(alarm);
    alarm = 0;
    byId("lost").hidden = true;
    heardAt = Date.now();
  };
  const again = () => setTimeout(() => stream.dispatchEvent(new CustomEvent("connect")), 2000);
  stream.addEventListener("htmx:sse:after:connection", (event) => { connection = event.detail.connection; regain(); });
  stream.addEventListener("htmx:sse:after:message", () => { heardAt = Date.now(); });
  stream.addEventListener("htmx:sse:before:connection", (event) => { if (event.detail.connection.attempt > 0) lose(); });
  stream.addEventListener("htmx:sse:error", (event) => { event.detail.status === 401 ? signIn() : lose(); });
  stream.addEventListener("htmx:sse:close", again);
  for (const name of ["htmx:error", "htmx:response:error"]) {
    stream.addEventListener(name, (event) => {
      if (event.detail.ctx?.response?.status === 401) return signIn();
      lose();
      again();
    });
  }
  // a network that went away without a word: the server says something at least every 20 seconds
  setInterval(() => {
    if (document.hidden) heardAt = Date.now();
    else if (Date.now() - heardAt > 45000) { heardAt = Date.now(); lose(); connection?.reader?.cancel(); }
  }, 5000);

  // --- writing ---
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const fit = () => {
    words.style.height = "auto";
    words.style.height = `${Math.min(words.scrollHeight, innerHeight * 0.4)}px`;
    byId("send").disabled = !words.value.trim();
    if (follows) toEnd();
  };
  const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  words.addEventListener("input", fit);
  words.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || isTouch) return;
    event.preventDefault();
    composer.requestSubmit(byId("send"));
  });
  document.addEventListener("htmx:config:request", (event) => {
    const body = event.detail.ctx.request.body;
    if (event.target.matches?.(".thumbs")) byId("unsent").hidden = true;
    if (event.detail.ctx.request.method !== "POST" || !body.has("text")) return;
    const text = body.get("text");
    if (!text.trim()) return event.preventDefault();
    body.set("id", unsent.get(text) ?? newId());
    event.detail.ctx.said = { text, id: body.get("id") };
    byId("unsent").hidden = true;
    follows = true;
    if (event.target === composer) { words.value = ""; fit(); }
  });
  for (const name of ["htmx:error", "htmx:response:error"]) {
    document.addEventListener(name, (event) => {
      const ctx = event.detail.ctx;
      if (!ctx?.said && event.target.matches?.(".thumbs")) {
        if (ctx?.response?.status === 401) return signIn();
        byId("unsent").textContent = "I did not get that thumb. Press it once more.";
        byId("unsent").hidden = false;
      }
      if (!ctx?.said) return;
      if (ctx.response?.status === 401) return signIn(ctx.said);
      putBack(ctx.said, ctx.response?.status);
      fit();
    });
  }
  document.addEventListener("htmx:after:request", (event) => {
    const ctx = event.detail.ctx;
    if (!ctx?.said || !(ctx.response?.status < 400)) return;
    unsent.delete(ctx.said.text);
    if (event.target.matches(".choices")) [...event.target.elements].find((one) => one.value === ctx.said.text)?.classList.add("pressed");
  });
  const kept = localStorage.getItem(KEPT);
  localStorage.removeItem(KEPT);
  if (kept) putBack(JSON.parse(kept));
  fit();

  // --- what opens stays in view ---
  log.addEventListener("toggle", (event) => { if (event.target.open) event.target.scrollIntoView({ block: "nearest" }); }, true);

  // --- copying, where the browser allows it ---
  document.documentElement.classList.toggle("can-copy", Boolean(navigator.clipboard));
  log.addEventListener("click", async (event) => {
    if (!event.target.matches(".copy")) return;
    await navigator.clipboard.writeText(event.target.closest(".message").querySelector(".text").innerText);
    event.target.textContent = "copied";
    setTimeout(() => { event.target.textContent = "copy"; }, 1500);
  });
})();

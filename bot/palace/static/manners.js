// The panel in which Robbie is set: three sliders and a mood, heard before they are saved.
(() => {
  const byId = (id) => document.getElementById(`manners-${id}`);
  const dialog = document.getElementById("manners"), until = byId("until"), end = byId("end");
  let told = null, chosen = "*", timer = 0, asked = 0;

  const make = (tag, fields = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), fields);
    made.append(...children);
    return made;
  };
  const call = async (path, body) => {
    const how = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(`/api/manners${path}`, how);
    if (response.status === 401) location.reload();
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error.message);
    return answer;
  };
  const plain = (text) => text.replace(/\*\*|`/g, "");
  const say = (text, isWrong = false) => {
    byId("told").textContent = plain(text);
    byId("told").classList.toggle("wrong", isWrong);
  };
  const attempt = async (doing) => {
    try { return await doing(); } catch (error) { say(error instanceof TypeError ? "I did not get that; please try again." : error.message, true); }
  };

  // --- what is shown ---
  const choice = (name, value, text, isChecked) =>
    make("label", {}, make("input", { type: "radio", name, value, checked: isChecked }), make("span", { textContent: text }));
  const here = () => told.contexts.find((one) => one.context === chosen);
  const describe = (input) => {
    const slider = told.sliders.find((one) => one.name === input.name), meaning = slider.steps[input.value - 1];
    byId(`${input.name}-now`).textContent = [input.value, meaning].filter(Boolean).join(" · ");
    const name = { 1: slider.left, 10: slider.right }[input.value];
    input.setAttribute("aria-valuetext", [input.value, name, meaning].filter(Boolean).join(", "));
  };
  const draw = () => {
    const { values, until: ends, settable } = here();
    byId("contexts").replaceChildren(...told.contexts.map((one) => choice("context", one.context, one.said, one.context === chosen)));
    byId("sliders").replaceChildren(...told.sliders.map(({ name, left, right }) => {
      const id = `manners-${name}`, isFixed = !settable.includes(name);
      const about = isFixed ? "Always professional here: anything else is for the owner's private chat." : ends[name] ? `until ${ends[name]}` : "";
      return make("div", { className: "slider" },
        make("label", { htmlFor: id }, make("span", { textContent: left }), make("span", { className: "hidden", textContent: " to " }),
          make("span", { textContent: right })),
        make("input", { type: "range", id, name, min: 1, max: 10, step: 1, value: values[name], disabled: isFixed }),
        make("p", {}, make("output", { id: `${id}-now`, htmlFor: id }), make("span", { textContent: about })));
    }));
    byId("sliders").querySelectorAll("input").forEach(describe);
    byId("moods").replaceChildren(...told.moods.map((mood) => choice("mood", mood, mood, mood === values.mood)));
    byId("history").replaceChildren(...told.history.map((one) => {
      const time = make("time", { dateTime: one.at, textContent: new Date(one.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) });
      return make("li", {}, time, " ", make(one.is_void ? "s" : "span", { textContent: one.text }), one.is_void ? " (taken back)" : ` (${one.source})`);
    }));
    weigh();
  };
  const show = (answer) => { told = answer; draw(); };

  // --- what is changed ---
  const changes = () => {
    const now = Object.fromEntries([...byId("sliders").querySelectorAll("input")].map((input) => [input.name, input.value]));
    now.mood = dialog.querySelector("[name=mood]:checked")?.value;
    return Object.fromEntries(Object.entries(now).filter(([name, value]) => value && value !== String(here().values[name])));
  };
  const weigh = () => {
    const made = changes(), number = ++asked;
    byId("save").disabled = !Object.keys(made).length;
    clearTimeout(timer);
    if (byId("save").disabled) { byId("preview").textContent = "Move a slider, and hear the same news both ways."; return; }
    timer = setTimeout(() => attempt(async () => {
      const { text } = await call(`/preview?${new URLSearchParams({ context: chosen, ...made })}`);
      if (number === asked) byId("preview").textContent = plain(text);
    }), 200);
  };
  const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const set = (made, ends) => attempt(async () => {
    const answer = await call("", { id: newId(), context: chosen, changes: made, until: ends });
    show(answer);
    say(answer.text.split("\n")[0]);
  });

  // --- what is pressed ---
  dialog.addEventListener("input", ({ target }) => {
    if (target.name === "context") { chosen = target.value; draw(); dialog.querySelector("[name=context]:checked").focus(); return; }
    if (target.type === "range") describe(target);
    if (target === until) end.hidden = until.value !== "at";
    say("");
    weigh();
  });
  dialog.firstElementChild.addEventListener("submit", (event) => {
    event.preventDefault();
    if (until.value === "at" && !end.value) { say("Until when?", true); end.focus(); return; }
    set(changes(), until.value === "at" ? end.value : until.value);
  });
  byId("normal").addEventListener("click", () => set(Object.fromEntries(here().settable.map((name) => [name, "normal"])), ""));
  byId("undo").addEventListener("click", () => attempt(async () => { const answer = await call("/undo", {}); show(answer); say(answer.text); }));
  byId("close").addEventListener("click", () => dialog.close());
  document.getElementById("open-manners").addEventListener("click", () => attempt(async () => {
    say("");
    dialog.showModal();
    show(await call(""));
  }));
  document.getElementById("open-manners").hidden = false;
})();

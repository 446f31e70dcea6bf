"use strict";
// The reader's view: a list of pages or texts, and the chosen one with everybody's answers.
(() => {
  const byId = (id) => document.getElementById(id);
  const sets = JSON.parse(byId("data").textContent);
  if (!sets.length) return;
  const MOST = 5000; // entries of the list; search finds the others
  const state = { set: null, shown: [], at: -1 };

  function element(kind, className, text) {
    const made = document.createElement(kind);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function options(select, entries) {
    select.replaceChildren(...entries.map(([value, text]) => {
      const option = element("option", "", text);
      option.value = value;
      return option;
    }));
  }

  // A label's letter: A to Z, then AA, AB, …
  function letter(number) {
    const last = String.fromCharCode(65 + (number % 26));
    return number < 26 ? last : letter(Math.floor(number / 26) - 1) + last;
  }
  const colour = (number) => `v${number % 7} again${Math.floor(number / 7) % 4}`;
  function chip(number) {
    const made = element("span", `value chip ${colour(number)}`, letter(number));
    made.title = state.set.labels[number];
    return made;
  }

  // An answer as [label, start, end] of every value, of one label where one is chosen.
  function values(answer, label) {
    const found = [];
    for (let at = 0; at < answer.length; at += 3) {
      if (label < 0 || answer[at] === label) found.push(answer.slice(at, at + 3));
    }
    return found;
  }
  function code(answer, label) {
    if (answer === null) return null;
    return values(answer, label).map((it) => it.join()).sort().join(" ");
  }
  const extracts = () => state.set.kind === "extraction";
  const ofKind = (kind) => state.set.systems.map(([, it], number) => (it === kind ? number : -1)).filter((it) => it >= 0);

  function differs(item, kind, label) {
    const answers = item[2];
    if (!extracts()) return ofKind("student").some((it) => (answers[it][0] === answers[0][0]) === (kind === "right"));
    const gold = code(answers[0], label);
    if (kind === "student") return ofKind("student").some((it) => code(answers[it], label) !== gold);
    const codes = ofKind("team").map((it) => code(answers[it], label)).filter((it) => it !== null);
    return new Set(codes).size > 1;
  }
  const hasLabel = (item, label) => label < 0 || item[2].some((it) => it !== null &&
    (extracts() ? values(it, label).length > 0 : it[0] === label));

  function passes(item) {
    const label = Number(byId("label").value), filter = byId("filter").value;
    const wanted = byId("search").value.trim().toLowerCase();
    if (wanted && !item[0].toLowerCase().includes(wanted) && !item[1].toLowerCase().includes(wanted)) return false;
    if (!hasLabel(item, label)) return false;
    return filter === "all" || differs(item, filter, label);
  }

  function list() {
    const before = state.shown[state.at];
    const label = Number(byId("label").value);
    const wrong = extracts() ? "student" : "wrong";
    state.shown = state.set.items.filter(passes);
    byId("items").replaceChildren(...state.shown.slice(0, MOST).map((item) => {
      const start = item[1].trimStart().slice(0, 24).replace(/\s+/g, " ");
      return element("option", "", `${differs(item, wrong, label) ? "≠" : "\u2003"} ${item[0]}\u2002${start}`);
    }));
    const what = extracts() ? "pages" : "texts";
    byId("count").textContent = `${state.shown.length.toLocaleString("en")} of ${state.set.items.length.toLocaleString("en")} ${what}; ≠: a student differs from the gold`;
    show(Math.max(0, state.shown.indexOf(before)));
  }

  function show(at) {
    state.at = Math.min(at, state.shown.length - 1);
    byId("items").selectedIndex = state.at;
    byId("previous").disabled = state.at <= 0;
    byId("next").disabled = state.at >= state.shown.length - 1;
    const item = state.shown[state.at];
    byId("legend").replaceChildren();
    byId("answers").replaceChildren();
    byId("text").replaceChildren();
    byId("summary").textContent = "";
    byId("item-title").textContent = item ? `${item[0]} (${state.at + 1} of ${state.shown.length})` : "Nothing fits these filters";
    if (!item) return;
    const shade = Number(byId("shade").value);
    const shades = shade >= 0 && item[3] ? item[3][shade] : null;
    const label = Number(byId("label").value);
    if (extracts()) showPage(item, label, shades);
    else showText(item, shades);
    if (shade >= 0) {
      const legend = shades ? state.set.shades[shade][1] : "No weights for this one.";
      byId("legend").append(element("span", "note", legend));
    }
  }

  function showPage(item, label, shades) {
    const { systems, labels } = state.set;
    const gold = new Set(values(item[2][0], -1).map((it) => it.join()));
    const used = new Set();
    const unread = [];
    const lanes = systems.map(([name, kind], number) => {
      const answer = item[2][number];
      if (answer === null) unread.push(name);
      const found = answer === null ? [] : values(answer, label);
      return { name, kind, values: found.map(([of, start, end]) => {
        used.add(of);
        const right = gold.has([of, start, end].join());
        return {
          start, end, className: colour(of),
          text: `${letter(of)}${right ? "" : "✗"} ${labels[of]}`,
          title: `${name}: ${labels[of]} “${item[1].slice(start, end)}”${right ? "" : " (not in the gold)"}`,
        };
      }) };
    });
    for (const number of [...used].sort((one, other) => one - other)) {
      const entry = element("span");
      entry.append(chip(number), element("span", "", labels[number]));
      byId("legend").append(entry);
    }
    byId("legend").append(element("span", "note", used.size ? "✗: not in the gold" : "No values here."));
    drawText(byId("text"), item[1], lanes, shades);
    answerTable(item, label, gold);
    const differences = ofKind("student").map((it) => {
      const own = new Set(values(item[2][it] || [], -1).map((value) => value.join()));
      const missed = [...gold].filter((value) => !own.has(value)).length;
      const wrong = [...own].filter((value) => !gold.has(value)).length;
      return `${systems[it][0]}: ${own.size - wrong} of ${gold.size} gold values found, ${wrong} wrong, ${missed} missed`;
    });
    if (unread.length) differences.push(`Not processed by ${unread.join(", ")}`);
    byId("summary").textContent = differences.join(". ");
  }

  function table(headings, caption) {
    const made = element("table");
    made.createCaption().append(element("span", "", caption));
    const row = made.createTHead().insertRow();
    for (const [text, className] of headings) {
      const cell = element("th", className, text);
      cell.scope = "col";
      row.append(cell);
    }
    const region = element("div", "table");
    region.tabIndex = 0;
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", caption);
    region.append(made);
    byId("answers").append(region);
    return made.createTBody();
  }

  function answerTable(item, label, gold) {
    const { systems, labels } = state.set;
    const found = new Map();
    item[2].forEach((answer, number) => {
      for (const value of answer === null ? [] : values(answer, label)) {
        const key = value.join();
        if (!found.has(key)) found.set(key, { value, by: new Set() });
        found.get(key).by.add(number);
      }
    });
    if (!found.size) return;
    const body = table([["value", "text"], ["", ""], ["attribute", "text"], ...systems.map(([name]) => [name, ""])], "Every value, and who found it");
    const sorted = [...found.values()].sort((one, other) => one.value[1] - other.value[1] || one.value[2] - other.value[2] || one.value[0] - other.value[0]);
    for (const { value: [of, start, end], by } of sorted) {
      const row = body.insertRow();
      const text = element("th", "", item[1].slice(start, end).replace(/\s+/g, " "));
      text.scope = "row";
      text.lang = "ja";
      const odd = ofKind("student").some((it) => by.has(it) !== by.has(0));
      if (odd) { row.className = "odd"; text.prepend(element("span", "mark", "≠ ")); }
      row.append(text);
      row.insertCell().append(chip(of));
      const name = row.insertCell();
      name.className = "text";
      name.textContent = labels[of];
      systems.forEach(([, kind], number) => {
        const cell = row.insertCell();
        const right = gold.has([of, start, end].join());
        cell.textContent = item[2][number] === null ? "–" : by.has(number) ? (right || kind === "gold" ? "●" : "✗") : "";
      });
    }
  }

  function showText(item, shades) {
    const { systems, labels } = state.set;
    drawText(byId("text"), item[1], [], shades);
    const gold = item[2][0][0];
    const body = table([["who", "text"], ["class", "text"], ["right", ""], ["probability of the gold's class", ""]], "Classes");
    systems.forEach(([name, kind], number) => {
      const [of, probability] = item[2][number];
      const row = body.insertRow();
      const head = element("th", "", name);
      head.scope = "row";
      row.append(head);
      if (of !== gold) row.className = "odd";
      const cell = row.insertCell();
      cell.className = "text";
      cell.append(chip(of), ` ${labels[of]}`);
      row.insertCell().textContent = kind === "gold" ? "" : of === gold ? "✓" : "✗";
      row.insertCell().textContent = kind === "gold" ? "" : probability.toFixed(3);
    });
  }

  function choose(number) {
    state.set = sets[number];
    state.at = -1;
    state.shown = [];
    const { labels, shades, notes, kind } = state.set;
    byId("label-name").textContent = kind === "extraction" ? "Attribute" : "Class";
    options(byId("label"), [[-1, "all"], ...labels.map((it, at) => [at, `${letter(at)} ${it}`])]);
    options(byId("filter"), kind === "extraction"
      ? [["all", "all"], ["student", "a student differs from the gold"], ...(ofKind("team").length > 1 ? [["team", "teams differ"]] : [])]
      : [["all", "all"], ["wrong", "a student is wrong"], ["right", "a student is right"]]);
    byId("shade-label").hidden = !shades.length;
    options(byId("shade"), [[-1, "none"], ...shades.map(([name], at) => [at, name])]);
    byId("notes").replaceChildren(...notes.map((note) => element("p", "note", note)));
    list();
  }

  options(byId("set"), sets.map((it, number) => [number, it.name]));
  byId("set-label").hidden = sets.length < 2;
  byId("view").hidden = false;
  byId("set").addEventListener("change", () => choose(Number(byId("set").value)));
  for (const id of ["label", "filter"]) byId(id).addEventListener("change", list);
  byId("search").addEventListener("input", list);
  byId("shade").addEventListener("change", () => show(state.at));
  byId("items").addEventListener("change", () => show(byId("items").selectedIndex));
  byId("previous").addEventListener("click", () => show(state.at - 1));
  byId("next").addEventListener("click", () => show(state.at + 1));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());

  let waiting = 0;
  const again = () => { if (state.set && !byId("reader").hidden) show(state.at); };
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 100); });
  document.addEventListener("panel", (event) => {
    if (event.detail !== "reader") return;
    if (state.set) again();
    else choose(0); // not before it is looked at: a hidden text has no width
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("reader").hidden || byId("keys").open) return;
    if (event.target.matches("input") || !state.set) return;
    const chooses = event.target.matches("select:not(#items)") && event.key.startsWith("Arrow");
    if (chooses) return;
    if (event.key === "j" || event.key === "ArrowRight") show(Math.min(state.at + 1, state.shown.length - 1));
    else if (event.key === "k" || event.key === "ArrowLeft") show(Math.max(state.at - 1, 0));
    else if (event.key === "d") {
      const filter = byId("filter");
      filter.value = filter.value === "all" ? (extracts() ? "student" : "wrong") : "all";
      list();
    } else if (event.key === "/") byId("search").focus();
    else return;
    event.preventDefault();
  });
})();

"use strict";
// Tabs, sortable tables, dark and light, and the keys that work everywhere.
(() => {
  const byId = (id) => document.getElementById(id);
  const tabs = [...document.querySelectorAll("#tabs a")];
  const panels = tabs.map((tab) => document.querySelector(tab.getAttribute("href")));

  function select(number, focus) {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === number));
      tab.tabIndex = at === number ? 0 : -1;
      panels[at].hidden = at !== number;
    });
    if (focus) {
      tabs[number].focus();
      history.replaceState(null, "", tabs[number].getAttribute("href"));
    }
    document.dispatchEvent(new CustomEvent("panel", { detail: panels[number].id }));
  }

  document.body.classList.add("tabbed");
  byId("tabs").setAttribute("role", "tablist");
  tabs.forEach((tab, number) => {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[number].id);
    panels[number].setAttribute("role", "tabpanel");
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      select(number, true);
    });
    tab.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -number, End: tabs.length - 1 - number };
      if (!(event.key in steps)) return;
      event.preventDefault();
      event.stopPropagation();
      select((number + steps[event.key] + tabs.length) % tabs.length, true);
    });
  });

  // Sorting: numbers by their value, the largest first; texts by their letters; gaps last.
  function sort(table, column, heading) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const value = (row) => row.cells[column].dataset.value;
    const numbers = rows.some((row) => value(row) !== undefined);
    const before = heading.getAttribute("aria-sort");
    const descending = before === null ? numbers : before === "ascending";
    const sign = descending ? -1 : 1;
    const empty = (row) => (numbers ? value(row) === undefined : row.cells[column].textContent === "-");
    rows.sort((one, other) => {
      if (empty(one) || empty(other)) return empty(one) - empty(other);
      if (numbers) return sign * (value(one) - value(other));
      return sign * row_text(one, column).localeCompare(row_text(other, column), undefined, { numeric: true });
    });
    body.append(...rows);
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }
  const row_text = (row, column) => row.cells[column].textContent.trim();

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (heading.classList.contains("drawn")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    });
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  function turn() {
    const root = document.documentElement;
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  }
  byId("theme").hidden = byId("help").hidden = false;
  byId("theme").addEventListener("click", turn);
  byId("help").addEventListener("click", () => byId("keys").showModal());

  document.addEventListener("keydown", (event) => {
    const free = !event.ctrlKey && !event.metaKey && !event.altKey;
    const typing = event.target.matches("input, textarea") || byId("keys").open;
    if (!free || typing) return;
    if (event.key === "?") byId("keys").showModal();
    else if (event.key === "t") turn();
    else return;
    event.preventDefault();
  });

  const wanted = tabs.findIndex((tab) => tab.getAttribute("href") === location.hash);
  addEventListener("DOMContentLoaded", () => select(Math.max(wanted, 0), false));
})();

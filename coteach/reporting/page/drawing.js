"use strict";
// Draws a text: rows that fit the width, below each a lane a system with its values as bars.
window.drawText = (() => {
  const LANE = 18; // pixels
  const NO_START = /[、。，．,.」』）)】〕〉》！？!?ー々ゝゞぁぃぅぇぉっゃゅょァィゥェォッャュョ・:;%]/u;
  const LATIN = /[A-Za-z0-9\u00c0-\u024f'’_-]/u;
  const segmenter = window.Intl && Intl.Segmenter ? new Intl.Segmenter("ja") : null;
  const canvas = document.createElement("canvas").getContext("2d");
  const widths = new Map();

  function element(kind, className, text) {
    const made = document.createElement(kind);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // One unit for one: places stay.
  const visible = (text) =>
    text.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, (c) => String.fromCharCode(c === "\x7f" ? 0x2421 : 0x2400 + c.charCodeAt(0))).replace(/\t/g, "\u2003");

  function width(letter) {
    let known = widths.get(letter);
    if (known === undefined) widths.set(letter, (known = canvas.measureText(letter).width));
    return known;
  }

  const letters = (line) => (segmenter ? Array.from(segmenter.segment(line), (it) => it.segment) : Array.from(line));

  // Where the rows of a line begin: broken between words, and before no closing mark.
  function breaks(line, room) {
    const starts = [0];
    let place = 0, taken = 0, opening = 0, sinceOpening = 0, previous = "";
    for (const letter of letters(line)) {
      const own = width(letter);
      const together = NO_START.test(letter) || (LATIN.test(previous) && LATIN.test(letter));
      if (place && !together) { opening = place; sinceOpening = 0; }
      if (taken + own > room && taken) {
        const start = opening > starts[starts.length - 1] ? opening : place;
        starts.push(start);
        taken = start === place ? 0 : sinceOpening;
      }
      taken += own;
      sinceOpening += own;
      place += letter.length;
      previous = letter;
    }
    return starts;
  }

  // Levels of one system's values within a lane, so that none covers another.
  function stack(values) {
    const ends = [];
    return values.map((value) => {
      let level = ends.findIndex((end) => end <= value.start);
      if (level < 0) level = ends.push(0) - 1;
      ends[level] = value.end;
      return level;
    });
  }

  // where: the element to fill. lanes: [{name, kind, values: [{start, end, className, text, title}]}].
  // shades: [start, end, level, …] or null. Places are those of the text.
  return function drawText(where, text, lanes, shades) {
    where.replaceChildren();
    where.classList.toggle("plain", lanes.every((lane) => !lane.values.length));
    const probe = where.appendChild(element("div", "row"));
    const line = probe.appendChild(element("span", "letters", "字"));
    const style = getComputedStyle(line);
    const font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    if (canvas.font !== font) { canvas.font = font; widths.clear(); }
    const room = line.getBoundingClientRect().width - 4;
    probe.remove();

    const rows = [];
    let offset = 0;
    for (const content of text.split("\n")) {
      const starts = breaks(content, room);
      starts.forEach((start, number) => {
        const end = number + 1 < starts.length ? starts[number + 1] : content.length;
        rows.push({ start: offset + start, end: offset + end });
      });
      offset += content.length + 1;
    }

    // All that changes the page first, then all that measures it, then the bars: one layout each.
    const wanted = [];
    const fragment = document.createDocumentFragment();
    for (const row of rows) {
      const box = element("div", "row");
      const letters = box.appendChild(element("span", "letters"));
      const node = letters.appendChild(document.createTextNode(visible(text.slice(row.start, row.end))));
      const within = (start, end) => [Math.max(start, row.start) - row.start, Math.min(end, row.end) - row.start];
      let top = 28;
      for (const lane of lanes) {
        const here = lane.values.filter((it) => it.start < row.end && it.end > row.start);
        if (!here.length) continue;
        const levels = stack(here);
        const name = box.appendChild(element("span", `lane ${lane.kind}`, lane.name));
        name.style.top = `${top}px`;
        name.title = lane.name;
        here.forEach((value, number) => {
          wanted.push({ box, node, range: within(value.start, value.end), value, top: top + LANE * levels[number] });
        });
        top += LANE * (Math.max(...levels) + 1);
      }
      box.style.height = `${top}px`;
      fragment.append(box);
      row.box = box;
      row.node = node;
      row.within = within;
    }
    where.append(fragment);
    if (shades) {
      let at = 0;
      for (const row of rows) {
        while (at < shades.length && shades[at + 1] <= row.start) at += 3;
        for (let next = at; next < shades.length && shades[next] < row.end; next += 3) {
          if (shades[next + 2] > 0) wanted.push({ box: row.box, node: row.node, range: row.within(shades[next], shades[next + 1]), level: shades[next + 2] });
        }
      }
    }
    const range = document.createRange();
    const left = new Map();
    for (const it of wanted) {
      if (!left.has(it.box)) left.set(it.box, it.box.getBoundingClientRect().left);
      range.setStart(it.node, it.range[0]);
      range.setEnd(it.node, it.range[1]);
      const found = range.getBoundingClientRect();
      it.left = found.left - left.get(it.box);
      it.width = found.width;
    }
    for (const it of wanted) {
      const bar = it.value ? element("span", `bar value ${it.value.className}`, it.value.text) : element("span", "shaded");
      bar.style.left = `${it.left}px`;
      bar.style.width = `${Math.max(it.width - (it.value ? 1 : 0), 3)}px`;
      if (it.value) {
        bar.style.top = `${it.top}px`;
        bar.title = it.value.title;
        bar.classList.toggle("narrow", it.width < 26);
        it.box.append(bar);
      } else {
        bar.style.background = `rgb(var(--shade) / ${((0.75 * it.level) / 255).toFixed(3)})`;
        bar.title = `${Math.round((100 * it.level) / 255)} % of the largest weight here`;
        it.box.prepend(bar);
      }
    }
  };
})();

// Moves, enlarges and reads the map in place; without this file the page's links do the same.
"use strict";

(() => {
  const SIDE = 1000, LARGEST = 64, REACH = 18, STEP = 0.25;
  const map = document.getElementById("map");
  if (!map) return;
  const svg = map.querySelector("svg"), tip = document.getElementById("tip");
  const chosen = document.getElementById("chosen"), said = document.getElementById("map-said");
  const frame = { x: Number(map.dataset.x), y: Number(map.dataset.y), zoom: Number(map.dataset.zoom) };
  let points = null, current = -1, refreshing = 0;

  fetch(map.dataset.points).then((response) => (response.ok ? response.json() : null)).then((found) => { points = found; });

  // Pixels of the drawn square, and where it begins: the picture is centred in its box.
  function square() {
    const box = svg.getBoundingClientRect(), size = Math.min(box.width, box.height);
    return { left: box.left + (box.width - size) / 2, top: box.top + (box.height - size) / 2, size };
  }

  function place(clientX, clientY) {
    const at = square(), side = SIDE / frame.zoom;
    return {
      x: frame.x - side / 2 + ((clientX - at.left) / at.size) * side,
      y: frame.y - side / 2 + ((clientY - at.top) / at.size) * side,
    };
  }

  function show(x, y, zoom) {
    frame.zoom = Math.min(Math.max(zoom, 1), LARGEST);
    const half = SIDE / 2 / frame.zoom;
    frame.x = Math.min(Math.max(x, half), SIDE - half);
    frame.y = Math.min(Math.max(y, half), SIDE - half);
    svg.setAttribute("viewBox", `${frame.x - half} ${frame.y - half} ${2 * half} ${2 * half}`);
    map.classList.toggle("near", frame.zoom > 1);
    label();
    clearTimeout(refreshing);
    refreshing = setTimeout(refresh, 400);
  }

  // The address follows the picture, and the table follows the address.
  function refresh() {
    const query = new URLSearchParams(location.search);
    for (const name of ["x", "y", "zoom", "page"]) query.delete(name);
    if (frame.zoom > 1) {
      query.set("x", frame.x.toFixed(1));
      query.set("y", frame.y.toFixed(1));
      query.set("zoom", frame.zoom.toFixed(2));
    }
    const address = query.size ? `/map?${query}` : "/map";
    history.replaceState(null, "", address);
    for (const link of document.querySelectorAll(".legend a")) {
      const to = new URL(link.href), own = to.searchParams;
      for (const name of ["x", "y", "zoom"]) query.has(name) ? own.set(name, query.get(name)) : own.delete(name);
      link.href = `${to.pathname}${to.search}`;
    }
    htmx.ajax("GET", address, { target: "#in-view", swap: "innerHTML" });
  }

  function choose(index, aloud) {
    current = index;
    chosen.toggleAttribute("hidden", index < 0);
    if (index >= 0) {
      for (const path of chosen.children) path.setAttribute("d", `M${points.x[index]} ${points.y[index]}h0`);
      if (aloud) said.textContent = words(index);
    }
    label();
  }

  function words(index) {
    const parts = [points.title[index], points.category[index], points.cold[index] ? "cold" : ""];
    return parts.filter(Boolean).join(" · ");
  }

  function label() {
    const side = SIDE / frame.zoom;
    const right = current < 0 ? -1 : (points.x[current] - frame.x) / side + 0.5;
    const down = current < 0 ? -1 : (points.y[current] - frame.y) / side + 0.5;
    tip.hidden = right < 0 || right > 1 || down < 0 || down > 1;
    if (tip.hidden) return;
    tip.textContent = words(current);
    const at = square(), box = map.getBoundingClientRect();
    const x = at.left - box.left + right * at.size, y = at.top - box.top + down * at.size;
    tip.style.left = `${Math.min(Math.max(x + 12, 4), box.width - tip.offsetWidth - 4)}px`;
    tip.style.top = `${y + 14 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 12 : y + 14}px`;
  }

  function shown(index) {
    return !map.dataset.category || points.category[index] === map.dataset.category;
  }

  // The dot nearest to a place, within reach; -1 for none.
  function nearest(clientX, clientY) {
    if (!points) return -1;
    const at = place(clientX, clientY), reach = (REACH / square().size) * (SIDE / frame.zoom);
    let best = -1, least = reach * reach;
    for (let index = 0; index < points.x.length; index++) {
      const far = (points.x[index] - at.x) ** 2 + (points.y[index] - at.y) ** 2;
      if (far < least && shown(index)) [best, least] = [index, far];
    }
    return best;
  }

  // The next dot in a direction from the chosen one, or the one in the middle: near ones first, aside ones later.
  function next(right, down) {
    const from = current < 0 ? frame : { x: points.x[current], y: points.y[current] };
    let best = -1, least = Infinity;
    for (let index = 0; index < points.x.length; index++) {
      const x = points.x[index] - from.x, y = points.y[index] - from.y;
      const along = x * right + y * down, aside = Math.abs(x * down) + Math.abs(y * right);
      const far = current < 0 ? x * x + y * y : along + 2 * aside;
      if (index !== current && shown(index) && (current < 0 || along > Math.max(aside, 1e-9)) && far < least) [best, least] = [index, far];
    }
    if (best < 0) return;
    const side = SIDE / frame.zoom;
    if (Math.abs(points.x[best] - frame.x) > 0.48 * side || Math.abs(points.y[best] - frame.y) > 0.48 * side) {
      show(points.x[best], points.y[best], frame.zoom);
    }
    choose(best, true);
  }

  function open() {
    if (current >= 0) location.assign(`/item?${new URLSearchParams({ id: points.id[current] })}`);
  }

  function move(name) {
    const step = (STEP * SIDE) / frame.zoom;
    const moves = {
      in: [0, 0, 2], out: [0, 0, 0.5], left: [-step, 0, 1], right: [step, 0, 1], up: [0, -step, 1], down: [0, step, 1],
    };
    if (name === "all") show(SIDE / 2, SIDE / 2, 1);
    else show(frame.x + moves[name][0], frame.y + moves[name][1], frame.zoom * moves[name][2]);
  }

  for (const link of document.querySelectorAll("[data-move]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      move(link.dataset.move);
    });
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in ARROWS && points) next(...ARROWS[event.key]);
    else if (event.key === "+" || event.key === "=") current < 0 ? move("in") : show(points.x[current], points.y[current], frame.zoom * 2);
    else if (event.key === "-") move("out");
    else if (event.key === "0") move("all");
    else if (event.key === "Enter") open();
    else if (event.key === "Escape") choose(-1, false);
    else return;
    event.preventDefault();
  });

  map.addEventListener("wheel", (event) => {
    // The page scrolls where there is nothing to enlarge or to leave.
    const factor = Math.exp(-event.deltaY / 400);
    if (frame.zoom * factor <= 1 && frame.zoom === 1) return;
    event.preventDefault();
    const at = place(event.clientX, event.clientY), zoom = Math.min(Math.max(frame.zoom * factor, 1), LARGEST);
    const kept = frame.zoom / zoom;
    show(at.x + (frame.x - at.x) * kept, at.y + (frame.y - at.y) * kept, zoom);
  }, { passive: false });

  const fingers = new Map();
  let dragged = false, apart = 0;
  svg.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    dragged = false;
    apart = 0;
  });
  svg.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") choose(nearest(event.clientX, event.clientY), false);
      return;
    }
    if (!dragged && Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) < 4) return;
    if (!dragged && fingers.size === 1) svg.setPointerCapture(event.pointerId);
    dragged = true;
    map.classList.add("moving");
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) {
      const [one, other] = fingers.values();
      const now = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      if (apart) show(frame.x, frame.y, (frame.zoom * now) / apart);
      apart = now;
      return;
    }
    const unit = SIDE / frame.zoom / square().size;
    show(frame.x - (event.clientX - before.clientX) * unit, frame.y - (event.clientY - before.clientY) * unit, frame.zoom);
  });
  function lift(event) {
    const was = fingers.delete(event.pointerId);
    map.classList.remove("moving");
    if (!was || dragged || event.type === "pointercancel") return;
    const hit = nearest(event.clientX, event.clientY);
    // A mouse sees the title before it clicks; a finger first chooses, then opens.
    if (hit >= 0 && (event.pointerType === "mouse" || hit === current)) {
      choose(hit, false);
      open();
    } else choose(hit, true);
  }
  svg.addEventListener("pointerup", lift);
  svg.addEventListener("pointercancel", lift);
  svg.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !fingers.size && document.activeElement !== map) choose(-1, false);
  });
  map.classList.toggle("near", frame.zoom > 1);
})();

// The list: conversations as Missive lists them, the one written to last on top.
//
// Only the rows in sight are elements, so a thousand conversations cost as much as twenty. While somebody points at the list
// or has scrolled in it, its order stands still: rows say what is new in them, and a button says how many have moved. The
// sandbox tells of the newest thousand; what more there is is said below.

import { clock, counted, element, grouped, paint, say } from './element.js';

const ROW_HEIGHT = 76;
/** Rows made above and below those in sight. */
const MARGIN = 4;

export class List {
  #parts;
  #opened;
  /** All that are known, by id. */
  #known = new Map();
  /** Ids in the order in which they are shown. */
  #order = [];
  /** Elements of the rows in sight, by id. */
  #shown = new Map();
  /** Names of channels, by account. */
  #channels = new Map();
  #max = 1000;
  #kept = 0;
  #chosen = null;
  #pointed = false;
  #due = false;

  constructor(parts, opened) {
    this.#parts = parts;
    this.#opened = opened;
    const { rows, newer, filter } = parts;
    this.sizer = element('div.sizer', { role: 'presentation' });
    rows.append(this.sizer);
    rows.addEventListener('scroll', () => this.#draw(), { passive: true });
    rows.addEventListener('pointerenter', (event) => (this.#pointed = event.pointerType === 'mouse'));
    rows.addEventListener('pointerleave', () => {
      this.#pointed = false;
      this.#sort();
    });
    rows.addEventListener('click', (event) => this.#open(event.target.closest('[role=option]')?.dataset.id));
    rows.addEventListener('keydown', (event) => this.#key(event));
    newer.addEventListener('click', () => this.#toTop());
    filter.addEventListener('change', () => this.#toTop());
    new ResizeObserver(() => this.#draw()).observe(rows);
  }

  /** Everything anew. */
  replace({ conversations, channels, list_max }) {
    this.#channels = new Map(channels.map((channel) => [channel.account, channel.recipient.name]));
    this.#max = list_max;
    this.#known = new Map(conversations.map((row) => [row.id, row]));
    this.#sort();
  }

  /** What changed, and what is gone. */
  change(rows, gone) {
    for (const row of rows) this.#known.set(row.id, row);
    for (const id of gone) this.#known.delete(id);
    this.#later();
  }

  /** How many there are, seen or not. */
  total({ conversations_kept, summary }) {
    this.#kept = conversations_kept;
    this.fallen = summary.messages_fallen_out;
    this.#say();
  }

  /** Marks one as the one that is open. */
  choose(id) {
    this.#chosen = id;
    this.#draw();
  }

  /** Many changes make one drawing. */
  #later() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      if (this.#isHeld()) this.#hold();
      else this.#sort();
    });
  }

  #isHeld() {
    return this.#pointed || this.#parts.rows.scrollTop > ROW_HEIGHT / 2;
  }

  /** The order stands still; those that are gone leave it. */
  #hold() {
    this.#order = this.#order.filter((id) => this.#known.has(id));
    const newest = this.#sorted();
    const moved = newest.findIndex((id) => id === this.#order[0]);
    say(this.#parts.newer, `${counted(Math.max(moved, 0), 'conversation')} above`);
    this.#parts.newer.hidden = moved <= 0;
    this.#draw();
  }

  #sort() {
    const newest = [...this.#known.values()].sort((one, other) => other.place - one.place);
    for (const row of newest.slice(this.#max)) this.#known.delete(row.id);
    this.#order = this.#sorted();
    this.#parts.newer.hidden = true;
    this.#draw();
  }

  #sorted() {
    const wanted = this.#parts.filter.value;
    const passes = (row) => wanted === 'all' || row.closed === (wanted === 'closed');
    const rows = [...this.#known.values()].filter(passes);
    return rows.sort((one, other) => other.place - one.place).map((row) => row.id);
  }

  #toTop() {
    this.#parts.rows.scrollTop = 0;
    this.#sort();
  }

  #draw() {
    const { rows } = this.#parts;
    this.sizer.style.height = `${this.#order.length * ROW_HEIGHT}px`;
    const first = Math.max(0, Math.floor(rows.scrollTop / ROW_HEIGHT) - MARGIN);
    const last = Math.min(this.#order.length, Math.ceil((rows.scrollTop + rows.clientHeight) / ROW_HEIGHT) + MARGIN);
    const inSight = new Set(this.#order.slice(first, last));
    for (const [id, drawn] of this.#shown) if (!inSight.has(id)) this.#drop(id, drawn);
    for (let place = first; place < last; place += 1) this.#place(this.#order[place], place);
    rows.setAttribute('aria-activedescendant', inSight.has(this.#chosen) ? `row-${this.#chosen}` : '');
    this.#say();
  }

  #drop(id, drawn) {
    drawn.remove();
    this.#shown.delete(id);
  }

  #place(id, place) {
    let drawn = this.#shown.get(id);
    if (!drawn) {
      drawn = blank(id);
      this.#shown.set(id, drawn);
      this.sizer.append(drawn);
    }
    drawn.style.transform = `translateY(${place * ROW_HEIGHT}px)`;
    drawn.setAttribute('aria-posinset', place + 1);
    drawn.setAttribute('aria-setsize', this.#order.length);
    drawn.setAttribute('aria-selected', String(id === this.#chosen));
    const row = this.#known.get(id);
    fill(drawn, row, this.#channels.get(row.account));
  }

  #say() {
    const shown = this.#order.length;
    const beyond = this.#kept > this.#max ? `, the newest of ${grouped(this.#kept)}` : '';
    const fallen = this.fallen ? `; ${counted(this.fallen, 'old message')} left out for memory` : '';
    say(this.#parts.count, `${counted(shown, 'conversation')}${beyond}${fallen}`);
  }

  #open(id) {
    if (!id) return;
    this.choose(id);
    this.#opened(id);
  }

  #key(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === 'Enter') return this.#open(this.#chosen);
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const from = this.#order.indexOf(this.#chosen);
    const to = Math.min(Math.max(from + step, 0), this.#order.length - 1);
    this.#reveal(to);
    this.choose(this.#order[to] ?? null);
  }

  #reveal(place) {
    const { rows } = this.#parts;
    const top = place * ROW_HEIGHT;
    if (top < rows.scrollTop) rows.scrollTop = top;
    if (top + ROW_HEIGHT > rows.scrollTop + rows.clientHeight) rows.scrollTop = top + ROW_HEIGHT - rows.clientHeight;
  }
}

function blank(id) {
  const parts = ['from', 'at', 'subject', 'line', 'tags'].map((name) => element(`span.${name}`));
  return element('div.row', { role: 'option', id: `row-${id}`, 'data-id': id }, parts);
}

function fill(drawn, row, channel) {
  const [from, at, subject, line, tags] = drawn.children;
  drawn.classList.toggle('unread', row.unread > 0);
  drawn.classList.toggle('closed', row.closed);
  paint(drawn, row.color);
  // whoever is called like the conversation says nothing new
  say(from, (row.from === row.subject ? channel : row.from) || 'somebody');
  say(at, clock(row.at));
  say(subject, row.subject || row.line || '(no subject)');
  say(line, row.line);
  const words = [row.unread > 0 && `${grouped(row.unread)} unread`, row.closed && 'closed', row.muted && 'muted'];
  const own = row.labels.filter((label) => label !== 'mute');
  say(tags, [...words.filter(Boolean), ...own, ...row.assignees.map((who) => `@${who}`)].join(' · '));
}

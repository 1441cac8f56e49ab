// The books: what came in, what became of it, and how much of Missive's limits is spent.
//
// In the demo the daemon has counted; a sandbox alone shows what it knows itself. Figures have their place from the start,
// so nothing moves when they grow.

import { Chart } from './chart.js';
import { element, grouped, say } from './element.js';

const DEMO = [
  ['events in', ({ books }) => books.consumed, 'events that the daemon has read'],
  ['duplicates', ({ books }) => books.duplicates, 'told before: counted, never sent again'],
  ['suppressed', ({ books }) => books.suppressed, 'left out with a reason: muted, late, unknown'],
  ['told', ({ books }) => books.told, 'in a message of their own conversation'],
  ['rolled up', ({ books }) => books.rolled_up, 'told together in a roll-up'],
  ['dead letters', ({ books }) => books.dead_lettered, 'could not be read, or were refused; kept with their reason'],
  ['pending', ({ books }) => books.pending, 'still to be told'],
];
const ALONE = [
  ['requests', ({ summary }) => summary.requests, 'everything that was asked of the API'],
  ['accepted', ({ summary }) => summary.accepted, 'messages and posts'],
  ['refused', ({ summary }) => sum(summary.refused), 'with a status and a name'],
  ['over the limit', ({ summary }) => summary.rate_limit_violations, 'requests that broke a rate limit'],
  ['webhooks', ({ summary }) => summary.replies.sent + summary.rule_webhooks.sent, 'sent, retries not counted'],
];
const BOTH = [
  ['conversations', ({ summary }) => summary.conversations, 'that were opened'],
  ['messages', ({ summary }) => summary.messages, 'that people can read'],
  ['notifications', ({ summary }) => summary.notifications, 'phones that lit up: every message in a conversation that isn’t muted'],
];

const CLASSES = ['critical', 'normal', 'low'];

export class Books {
  #root;
  #figures = [];
  #demo = null;

  constructor(root) {
    this.#root = root;
  }

  show(pulse) {
    const demo = pulse.books !== null;
    if (demo !== this.#demo) this.#build(demo, pulse);
    for (const { value, of } of this.#figures) say(value, grouped(of(pulse)));
    this.windows.forEach((bar, place) => bar.show(pulse.spent.windows[place]));
    this.flight.show(pulse.spent);
    if (demo) this.#oldest(pulse);
    this.chart.add({
      at: pulse.now,
      many: demo ? pulse.books.consumed : pulse.summary.requests,
      few: pulse.summary.notifications,
    });
  }

  #build(demo, pulse) {
    this.#demo = demo;
    this.#figures = [];
    const list = element('dl.figures');
    for (const [name, of, help] of [...(demo ? DEMO : ALONE), ...BOTH]) {
      const value = element('dd', {}, '0');
      list.append(element('div', { title: help, 'data-figure': name }, element('dt', {}, name), value));
      this.#figures.push({ value, of });
    }
    this.windows = pulse.spent.windows.map((window) => new Bar(window));
    this.flight = new Flight(pulse.spent);
    this.ages = CLASSES.map(() => element('dd', {}, '–'));
    const ages = element('dl.ages', { 'aria-label': 'Oldest untold, by class' });
    CLASSES.forEach((name, place) => ages.append(element('div', {}, element('dt', {}, name), this.ages[place])));
    const untold = demo && element('div.untold', {}, element('h2', {}, 'oldest untold'), ages);
    const limits = element('div.limits', {}, ...this.windows.map((bar) => bar.root), this.flight.root);
    this.chart = new Chart(demo ? 'events' : 'requests', 'notifications');
    this.#root.replaceChildren(...[list, limits, untold, this.chart.root].filter(Boolean));
  }

  #oldest({ books, now }) {
    CLASSES.forEach((name, place) => {
      const since = books.oldest_untold[name];
      say(this.ages[place], since ? `${(Math.max(now - since, 0) / 1000).toFixed(1)} s` : '–');
    });
  }
}

/** One window of a budget. */
class Bar {
  constructor({ per_ms }) {
    const span = per_ms >= 60_000 ? `${per_ms / 60_000} min` : `${per_ms / 1000} s`;
    this.meter = element('meter', { min: 0, 'aria-label': `requests in ${span}` });
    this.text = element('span.number');
    this.root = element('div.bar-of', {}, element('span', {}, `in ${span}`), this.meter, this.text);
  }

  show({ used, allowed }) {
    Object.assign(this.meter, { max: allowed, high: allowed * 0.8, low: allowed * 0.8, optimum: 0, value: used });
    say(this.text, `${grouped(used)} of ${grouped(allowed)}`);
  }
}

/** Requests in progress, each a dot. */
class Flight {
  constructor({ at_once }) {
    this.dots = Array.from({ length: Math.min(at_once, 12) }, () => element('i'));
    this.text = element('span.number');
    const dots = element('span.dots', { 'aria-hidden': 'true' }, this.dots);
    this.root = element('div.bar-of', {}, element('span', {}, 'in flight'), dots, this.text);
  }

  show({ in_progress, at_once }) {
    this.dots.forEach((dot, place) => dot.classList.toggle('on', place < in_progress));
    say(this.text, `${in_progress} of ${at_once}`);
  }
}

const sum = (counts) => Object.values(counts).reduce((one, other) => one + other, 0);

// What can be done to the parts, each with a sentence of what to watch for.

import { endFaults, tell } from './desk.js';
import { element, grouped, say } from './element.js';

const STORM = 'Watch: conversations grow by a few and stop at the channel’s budget; the rest is told together in a roll-up.';
const DAEMON = {
  stop: ['Stop the daemon', 'Watch: events wait in Kafka, and an answer’s webhook is tried again.'],
  start: ['Start it', 'Watch: it goes on where it was; what was told is not told again.'],
  kill: ['Kill it', 'Watch: it starts again; what was on its way is in doubt, so the lane waits a moment, looks, and says what may repeat. The books still add up.'],
};
const FAULTS = [
  ['slow', 'Slow: 3 seconds each', { fault: 'latency', ms: 3000, path: '/v1/' }, 'Watch: five are in flight, and what waits is folded into fewer, longer messages.'],
  ['429', '429 for the next three', { fault: 'status', status: 429, retry_after: 5, next: 3 }, 'Watch: nothing is sent until Retry-After is over, then everything in its order.'],
  ['503', '503 for the next five', { fault: 'status', status: 503, next: 5 }, 'Watch: pending grows, and after a pause it is all told; none of it is lost.'],
  ['silent', 'Accept the next, never answer', { fault: 'accept_without_answering', next: 1 }, 'Watch: it may have arrived, so it is sent again and says that it may repeat.'],
];
const MOODS = { joining: 'is joining its groups', running: 'is running', draining: 'is draining: answers come in, nothing new is sent', stopped: 'is stopped' };

export class Controls {
  #root;
  #demo = null;
  #faults = '';

  constructor(root) {
    this.#root = root;
  }

  show({ books, faults }) {
    const demo = books !== null;
    if (demo !== this.#demo) this.#build(demo);
    this.#list(faults);
    if (demo) this.#mood(books.daemon);
  }

  #build(demo) {
    this.#demo = demo;
    this.note = element('p.note', { role: 'status' });
    this.active = element('p.quiet', { 'data-faults': '0' });
    this.end = element('button', { type: 'button', onclick: () => this.#do(endFaults()) }, 'End all faults');
    const faults = FAULTS.map(([key, word, fault, watch]) => this.#knob(key, word, watch, () => tell('faults', fault)));
    const missive = section('Missive', faults, this.active, this.end);
    const parts = demo ? [this.#storm(), this.#daemon(), missive] : [missive];
    this.#root.replaceChildren(element('h2', {}, 'Controls'), this.note, ...parts);
  }

  #storm() {
    const size = element('select', { 'aria-label': 'Size of the storm' });
    for (const events of [1_000, 5_000, 20_000]) {
      size.append(element('option', { value: events, selected: events === 5_000 }, `${grouped(events)} events`));
    }
    const start = () => tell('wish', { wish: 'storm', events: Number(size.value) });
    return section('Alerts', size, this.#knob('storm', 'Start a storm', STORM, start));
  }

  #daemon() {
    this.mood = element('p.quiet');
    this.knobs = Object.entries(DAEMON).map(([wish, [word, watch]]) =>
      this.#knob(wish, word, watch, () => tell('wish', { wish })),
    );
    return section('The daemon', this.mood, this.knobs);
  }

  #knob(key, word, watch, act) {
    const id = `knob-${key}`;
    const button = element('button', { type: 'button', id, 'aria-describedby': `${id}-watch`, onclick: () => this.#do(act()) }, word);
    return element('div.knob', {}, button, element('p.watch', { id: `${id}-watch` }, watch));
  }

  async #do(acting) {
    try {
      await acting;
      say(this.note, '');
    } catch (refusal) {
      say(this.note, `Not done: ${refusal.message}.`);
    }
  }

  #mood(daemon) {
    say(this.mood, `It ${MOODS[daemon]}.`);
    this.mood.dataset.daemon = daemon;
    for (const [place, wish] of Object.keys(DAEMON).entries()) {
      const idle = wish === 'start' ? daemon !== 'stopped' : daemon !== 'running';
      this.knobs[place].firstChild.disabled = idle;
    }
  }

  #list(faults) {
    const words = faults.map(({ fault, status, next }) => `${status ?? fault.replaceAll('_', ' ')}${next ? `, ${next} left` : ''}`);
    say(this.active, words.length ? `Now: ${words.join('; ')}.` : 'No fault is set.');
    this.active.dataset.faults = words.length;
    this.end.disabled = !words.length;
  }
}

function section(title, ...children) {
  return element('section', {}, element('h3', {}, title), ...children.flat());
}

// A small chart: what comes in a second, and how often a phone lights up, over the last five minutes.
//
// The scale is logarithmic, because one is a thousand times the other: that is the point of it. A list of numbers says the
// same to those who can't see it.

import { element, grouped, say } from './element.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 300;
const HEIGHT = 64;
const SPAN_MS = 300_000;
/** The greatest rate that has a place: ten thousand a second. */
const DECADES = 4;
/** The least that is drawn: one in a hundred seconds. */
const LEAST = -2;
/** Rates are taken over this long, so that a line can be read. */
const SMOOTH_MS = 5_000;

export class Chart {
  #samples = [];

  constructor(many, few) {
    const svg = drawing('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    for (let decade = 0; decade < DECADES; decade += 2) {
      const y = height(10 ** decade);
      svg.append(drawing('path', { class: 'grid', d: `M0 ${y}H${WIDTH}` }));
    }
    this.lines = { many: drawing('path', { class: 'many' }), few: drawing('path', { class: 'few' }) };
    svg.append(this.lines.many, this.lines.few);
    this.rates = { many: element('b'), few: element('b') };
    const words = (name, word) => element(`span.${name}`, {}, this.rates[name], ` ${word} a second`);
    const legend = element('figcaption', {}, words('many', many), words('few', few));
    this.root = element('figure.chart', { title: 'the last five minutes, on a logarithmic scale' }, svg, legend);
  }

  /** `at` is Unix milliseconds; `many` and `few` are counts since the start. */
  add(sample) {
    this.#samples.push(sample);
    while (this.#samples[0].at < sample.at - SPAN_MS - SMOOTH_MS) this.#samples.shift();
    for (const name of ['many', 'few']) {
      const rates = this.#rates(name);
      this.lines[name].setAttribute('d', path(rates, sample.at));
      say(this.rates[name], shown(rates.at(-1)?.rate ?? 0));
    }
  }

  #rates(name) {
    let first = 0;
    return this.#samples.slice(1).map((sample, place) => {
      while (first < place && this.#samples[first].at < sample.at - SMOOTH_MS) first += 1;
      const from = this.#samples[first];
      const rate = ((sample[name] - from[name]) * 1000) / Math.max(sample.at - from.at, 1);
      return { at: sample.at, rate: Math.max(rate, 0) };
    });
  }
}

function path(rates, now) {
  const points = rates.map(({ at, rate }) => `${(WIDTH - ((now - at) / SPAN_MS) * WIDTH).toFixed(1)} ${height(rate)}`);
  return points.length ? `M${points.join('L')}` : '';
}

function height(rate) {
  const decades = Math.min(Math.max(Math.log10(Math.max(rate, 10 ** LEAST)), LEAST), DECADES);
  return (HEIGHT - 2 - ((decades - LEAST) / (DECADES - LEAST)) * (HEIGHT - 4)).toFixed(1);
}

const shown = (rate) => (rate >= 10 ? grouped(Math.round(rate)) : rate.toFixed(1));

function drawing(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

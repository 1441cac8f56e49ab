// The page: one stream of what happens, and the parts that show it.

import { Books } from './books.js';
import { Controls } from './controls.js';
import { follow } from './desk.js';
import { say } from './element.js';
import { List } from './list.js';
import { Thread } from './thread.js';

const at = (id) => document.getElementById(id);
const link = at('link');
const NARROW = matchMedia('(max-width: 60rem)');

const books = new Books(at('books'));
const controls = new Controls(at('controls'));
const thread = new Thread(at('thread'), { back: () => show('list') });
const list = new List(
  { rows: at('rows'), count: at('count'), newer: at('newer'), filter: at('filter') },
  (id) => {
    show('thread');
    thread.open(id);
  },
);

/** On a narrow screen one part is seen at a time. */
function show(view) {
  document.body.dataset.view = view;
  const expanded = NARROW.matches ? view === 'controls' : !document.body.hasAttribute('data-bare');
  at('controls-toggle').setAttribute('aria-expanded', String(expanded));
}

follow({
  snapshot(everything) {
    list.replace(everything);
    thread.channels = everything.channels;
    thread.refresh();
  },
  changes({ conversations, gone }) {
    list.change(conversations, gone);
    if (conversations.some((row) => row.id === thread.id) || gone.includes(thread.id)) thread.refresh();
  },
  pulse(pulse) {
    books.show(pulse);
    controls.show(pulse);
    list.total(pulse);
  },
  linked() {
    say(link, 'live');
    link.dataset.state = 'live';
  },
  lost() {
    say(link, 'no connection, trying again …');
    link.dataset.state = 'lost';
  },
});

at('begin').addEventListener('click', () => {
  show('thread');
  list.choose(null);
  thread.begin();
});

at('controls-toggle').addEventListener('click', () => {
  const { view } = document.body.dataset;
  if (NARROW.matches) return show(view === 'controls' ? 'list' : 'controls');
  document.body.toggleAttribute('data-bare');
  show(view);
});

// Escape leads back to where one came from.
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented) return;
  show('list');
  at('rows').focus();
});

// Makes elements. Text becomes text nodes and nothing else: whatever a message says, it can't become markup.

/**
 * An element: `element('a.b', { id: 'x', onclick() {} }, 'text', child)`. The first word is the tag, what follows its dots
 * are classes. Functions become listeners, `true` an empty attribute; `false`, `null` and `undefined` leave it out.
 */
export function element(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes)) set(made, key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function set(made, key, value) {
  if (typeof value === 'function') made.addEventListener(key.slice(2), value);
  else if (value === true) made.setAttribute(key, '');
  else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
}

/** Sets a text only if it is another one, so that nothing is laid out for nothing. */
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

const DIGITS = new Intl.NumberFormat('en');
/** `1,234,567` */
export const grouped = (number) => DIGITS.format(number ?? 0);

/** `12 messages`, `1 message` */
export const counted = (number, word) => `${grouped(number)} ${word}${number === 1 ? '' : 's'}`;

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** The time of day, in front of it the day if it isn't today. Takes Unix seconds. */
export function clock(seconds) {
  if (!seconds) return '';
  const at = new Date(seconds * 1000);
  const today = at.toDateString() === new Date().toDateString();
  return today ? CLOCK.format(at) : `${DAY.format(at)}, ${CLOCK.format(at)}`;
}

/** Who somebody is, in the words that there are. */
export function called(person) {
  return person?.name || person?.username || person?.address || person?.id || 'somebody';
}

/** A colour as Missive knows it: one of three words, or HEX. */
export function paint(target, color) {
  const word = ['good', 'warning', 'danger'].includes(color);
  const hex = /^#[0-9a-f]{3,8}$/i.test(color ?? '');
  target.style.setProperty('--mark', word ? `var(--${color})` : hex ? color : 'transparent');
}

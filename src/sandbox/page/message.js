// One message, what a lock screen would show of it, and what became of it if somebody here wrote it.
//
// A plain text is text. HTML is a document of its own in a sandboxed frame: it may look, and do nothing.

import { called, clock, element, grouped } from './element.js';

/** The element of a message; `webhook` is the delivery of one that somebody here wrote. */
export function message(shown, webhook) {
  const own = shown.origin === 'outgoing';
  return element(
    own ? 'article.message.own' : 'article.message',
    { 'data-id': shown.id },
    element('div.said', {}, head(shown, own), content(shown), files(shown.attachments), own ? fate(webhook) : null),
    own ? null : lockScreen(shown),
  );
}

/** What became of an answer; changes when the endpoint has answered, and when its record is there. */
export function fate(webhook) {
  if (!webhook) return element('div.fate', {}, 'its webhook is no longer remembered');
  const words = { pending: 'on its way', acknowledged: 'acknowledged', failed: 'given up' }[webhook.state];
  const sentence = element('p', {}, 'Webhook ', element(`b.${webhook.state}`, {}, words), '. The endpoint: ', attempts(webhook));
  return element('div.fate', { 'data-state': webhook.state }, sentence, record(webhook.record));
}

function attempts({ attempts }) {
  if (!attempts.length) return 'no answer yet';
  const last = attempts.slice(-6).map(({ answer }) => element('code', {}, wording(answer)));
  const left = attempts.length - last.length;
  return [left ? `${grouped(left)} more, ` : null, ...last.flatMap((one, place) => (place ? [', then ', one] : [one]))];
}

function wording(answer) {
  if (typeof answer === 'object') return String(answer.status);
  return { not_connected: 'no connection', broken_off: 'broken off', timed_out: 'no answer in time' }[answer] ?? 'too many waiting';
}

/** The record, as whoever reads the topic finds it. */
function record(record) {
  if (!record) return null;
  const place = `${record.topic} [${record.partition}] @ ${record.offset}`;
  const headers = record.headers.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  return element(
    'details.record',
    {},
    element('summary', {}, 'Arrived in Kafka: ', element('code', {}, place)),
    element('dl', {}, element('div', {}, element('dt', {}, 'key'), element('dd', {}, record.key)), headers),
    element('pre', { tabindex: 0, 'aria-label': 'the value' }, pretty(record.value.text)),
  );
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function head(shown, own) {
  const { from, to, kind, type = kind } = shown;
  const mail = type === 'email';
  const who = (person) => (mail && person.address && person.name ? `${person.name} <${person.address}>` : called(person));
  const sender = own ? `${shown.author} as ${called(from)}` : who(from);
  const names = { post: 'note', outgoing: 'answer' }[shown.origin];
  return element(
    'header',
    {},
    element('b', {}, shown.origin === 'post' ? 'Note' : sender),
    element('span.quiet', {}, to.length ? `to ${to.map(who).join(', ')}` : ''),
    names ? element('span.tag', {}, names) : null,
    element('time', { datetime: new Date(shown.at * 1000).toISOString() }, clock(shown.at)),
    mail && shown.subject ? element('h3', {}, shown.subject) : null,
  );
}

function content(shown) {
  if (!shown.body) {
    const title = `The HTML of a message from ${called(shown.from)}`;
    return element('iframe', { sandbox: true, title, loading: 'lazy', src: `/control/frame?message=${shown.id}` });
  }
  const { text, left_out_bytes: left } = shown.body;
  const rest = left ? element('p.quiet', {}, `${grouped(left)} bytes more, which the sandbox did not keep`) : null;
  return element('div', {}, element('p.text', {}, text), rest);
}

function files(attachments) {
  if (!attachments.length) return null;
  const one = ({ filename, size }) => element('li', {}, filename, element('span.quiet', {}, ` ${grouped(size)} B`));
  return element('ul.files', { 'aria-label': 'Attachments' }, attachments.map(one));
}

function lockScreen(shown) {
  return element(
    'aside.phone',
    { 'aria-label': 'On a lock screen' },
    element('span.quiet', {}, 'lock screen'),
    element('b', {}, called(shown.from)),
    element('span', {}, shown.lock_screen || '(nothing)'),
  );
}

// The open conversation: its messages, what can be done with it, and the place to answer.

import { ask, tell } from './desk.js';
import { counted, element, paint, say } from './element.js';
import { fate, message } from './message.js';
import { Write } from './write.js';

/** Messages that are asked for at first, and with every look further back. */
const PAGE = 50;
const MESSAGES_MAX = 500;

export class Thread {
  id = null;
  channels = [];
  #root;
  #back;
  #limit = PAGE;
  #parts = null;
  /** Elements of the messages, by id. */
  #drawn = new Map();
  #asking = false;
  #again = false;

  constructor(root, { back }) {
    this.#root = root;
    this.#back = back;
    root.append(element('p.empty', {}, 'Choose a conversation. Arrow keys, then Enter.'));
  }

  /** Opens a conversation. */
  async open(id) {
    this.#clear(id);
    await this.refresh();
    tell('seen', { conversation: id }).catch(() => {});
  }

  /** A new message, to somebody in a channel. */
  begin() {
    this.#clear(null);
    const write = Write.begin(this.channels, (receipt) => this.open(receipt.conversation));
    this.#root.append(element('header.subject', {}, this.#backButton(), element('h2', {}, 'New message')), write.root);
    write.focus();
  }

  /** Asks for the open conversation anew. Of many wishes while one is asked for, one is left. */
  async refresh() {
    if (!this.id) return;
    if (this.#asking) return void (this.#again = true);
    this.#asking = true;
    const id = this.id;
    try {
      const opened = await ask(`conversation?id=${encodeURIComponent(id)}&limit=${this.#limit}`);
      if (id === this.id) this.#show(opened);
    } catch (refusal) {
      if (id === this.id) this.#gone(refusal);
    } finally {
      this.#asking = false;
      if (this.#again) {
        this.#again = false;
        this.refresh();
      }
    }
  }

  #clear(id) {
    this.id = id;
    this.#limit = PAGE;
    this.#parts = null;
    this.#drawn.clear();
    this.#root.replaceChildren();
  }

  #gone(refusal) {
    this.#clear(null);
    this.#root.append(element('p.empty', {}, `It can't be shown: ${refusal.message}.`));
  }

  #show(opened) {
    const isNew = !this.#parts;
    if (isNew) this.#build(opened);
    const { head, earlier, log, messages, write } = this.#parts;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    head.show(opened.conversation, this.#channel(opened.conversation));
    const more = opened.earlier > 0 && opened.messages.length < MESSAGES_MAX;
    earlier.hidden = !opened.earlier;
    earlier.disabled = !more;
    say(earlier, more ? `${counted(opened.earlier, 'earlier message')}: show more` : `${counted(opened.earlier, 'earlier message')}, not kept or not shown`);
    this.#draw(opened);
    write.show(opened, this.#channel(opened.conversation));
    if (isNew) log.scrollTop = (messages.lastElementChild?.offsetTop ?? 0) - log.offsetTop - 14;
    else if (atEnd) log.scrollTop = log.scrollHeight;
  }

  #build(opened) {
    const head = new Head(this.#backButton(), (change) => this.#change(change));
    const earlier = element('button.earlier', { type: 'button', onclick: () => this.#further() });
    const messages = element('div.messages', { 'aria-live': 'polite', 'aria-relevant': 'additions' });
    const log = element('div.log', { tabindex: 0, 'aria-label': 'Messages' }, earlier, messages);
    const write = Write.answer(opened, this.#channel(opened.conversation), () => this.refresh());
    this.#parts = { head, earlier, log, messages, write };
    this.#root.append(head.root, log, write.root);
  }

  /** Messages stay the elements that they are; only what became of an answer changes. */
  #draw({ messages, webhooks }) {
    const byMessage = new Map(webhooks.map((webhook) => [webhook.message, webhook]));
    const wanted = new Set(messages.map((one) => one.id));
    for (const [id, drawn] of this.#drawn) if (!wanted.has(id)) this.#drop(id, drawn);
    const { messages: place } = this.#parts;
    messages.forEach((one, index) => {
      const webhook = byMessage.get(one.id);
      const drawn = this.#drawn.get(one.id) ?? this.#add(one, webhook, place.children[index] ?? null);
      renewFate(drawn, one, webhook);
    });
  }

  #add(one, webhook, before) {
    const drawn = message(one, webhook);
    this.#parts.messages.insertBefore(drawn, before);
    this.#drawn.set(one.id, drawn);
    return drawn;
  }

  #drop(id, drawn) {
    drawn.remove();
    this.#drawn.delete(id);
  }

  #further() {
    this.#limit = Math.min(this.#limit + PAGE, MESSAGES_MAX);
    this.refresh();
  }

  async #change(change) {
    await tell('change', { conversation: this.id, ...change });
    this.refresh();
  }

  #channel({ account }) {
    return this.channels.find((channel) => channel.account === account) ?? null;
  }

  #backButton() {
    return element('button.back', { type: 'button', onclick: () => this.#back(), 'aria-label': 'Back to the list' }, '←');
  }
}

/** An answer's fate is drawn anew when it is another one; a record that was opened stays open. */
function renewFate(drawn, one, webhook) {
  if (one.origin !== 'outgoing') return;
  const stand = JSON.stringify(webhook ?? null);
  if (drawn.dataset.stand === stand) return;
  drawn.dataset.stand = stand;
  const old = drawn.querySelector('.fate');
  const fresh = fate(webhook);
  const wasOpen = old.querySelector('details')?.open;
  if (wasOpen) fresh.querySelector('details')?.setAttribute('open', '');
  old.replaceWith(fresh);
}

const WATCH = {
  closed: 'Watch: closed is remembered; the next news opens it again, repeats don’t.',
  mute: 'Watch: missived goes on counting, and sends nothing more into this conversation.',
  assign: 'Watch: the next message stays in this conversation; a new episode opens one that nobody has.',
  label: 'Watch: a label is news for rules, and nothing for missived unless it is “mute”.',
};

/** The top of a conversation. Each button says what to watch for when it is pointed at, or was pressed. */
class Head {
  constructor(back, change) {
    this.title = element('h2', {});
    this.about = element('p.quiet');
    this.watch = element('p.watch', { id: 'watch', role: 'status' });
    const act = (name, pressed) => {
      const hint = () => say(this.watch, WATCH[name]);
      const onclick = () => {
        hint();
        change(pressed()).catch((refusal) => say(this.watch, `Not done: ${refusal.message}.`));
      };
      return element('button', { type: 'button', 'data-act': name, onclick, onfocus: hint, onpointerenter: hint });
    };
    this.close = act('closed', () => ({ closed: !this.row.closed }));
    this.mute = act('mute', () => (this.row.muted ? { remove_labels: ['mute'] } : { add_labels: ['mute'] }));
    this.assign = act('assign', () => (this.isMine() ? { remove_assignees: ['ann'] } : { add_assignees: ['ann'] }));
    this.label = act('label', () => (this.isLabelled() ? { remove_labels: ['later'] } : { add_labels: ['later'] }));
    const buttons = element('div.acts', { role: 'group', 'aria-label': 'Conversation' }, this.close, this.mute, this.assign, this.label);
    this.root = element('header.subject', {}, back, element('div', {}, this.title, this.about), buttons, this.watch);
    say(this.watch, 'Each of these sends a rule webhook, from which missived learns.');
  }

  isMine() {
    return this.row.assignees.includes('ann');
  }

  isLabelled() {
    return this.row.labels.includes('later');
  }

  show(row, channel) {
    this.row = row;
    paint(this.root, row.color);
    say(this.title, row.subject || row.line || '(no subject)');
    const state = [row.closed && 'closed', row.muted && 'muted', ...row.assignees.map((who) => `@${who}`)].filter(Boolean);
    const name = channel ? `${channel.recipient.name}, ${channel.type}` : (row.type ?? 'notes');
    say(this.about, [name, counted(row.messages, 'message'), ...state].join(' · '));
    say(this.close, row.closed ? 'Reopen' : 'Close');
    say(this.mute, row.muted ? 'Unmute' : 'Mute');
    say(this.assign, this.isMine() ? 'Unassign Ann' : 'Assign to Ann');
    say(this.label, this.isLabelled() ? 'Drop label “later”' : 'Label “later”');
  }
}

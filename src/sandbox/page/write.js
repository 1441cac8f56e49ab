// Where somebody writes: as one of the channel's identities, to its customer or to whom the channel allows.

import { tell } from './desk.js';
import { element, say } from './element.js';

let made = 0;

export class Write {
  #sent;
  #fields = {};

  /** A place to answer in an open conversation. */
  static answer(opened, channel, sent) {
    const write = new Write(sent);
    write.conversation = opened.conversation.id;
    write.customer = opened.customer;
    write.#build(element('form.write', { 'aria-label': 'Answer' }));
    write.#offer(channel);
    write.#fill(opened.customer);
    return write;
  }

  /** A place to begin a conversation, in a channel that allows it. */
  static begin(channels, sent) {
    const open = channels.filter((channel) => channel.answers && channel.allowed.new_messages && channel.type !== 'email');
    const write = new Write(sent);
    write.channels = open;
    const select = element('select', { onchange: () => write.#offer(open[select.selectedIndex]) });
    select.append(...open.map((channel) => element('option', {}, `${channel.recipient.name} (${channel.type})`)));
    write.#fields.channel = select;
    write.#build(element('form.write.begin', { 'aria-label': 'New message' }));
    write.#offer(open[0] ?? null);
    return write;
  }

  constructor(sent) {
    this.#sent = sent;
  }

  focus() {
    this.#fields.id.focus();
  }

  /** The channel may have changed meanwhile; what is being written stays. */
  show(opened, channel) {
    this.customer = opened.customer;
    this.#offer(channel);
    this.#fill(opened.customer);
  }

  #build(form) {
    made += 1;
    const fields = this.#fields;
    fields.alias = element('select');
    fields.id = element('input', { autocomplete: 'off', spellcheck: 'false', required: true, maxlength: 200 });
    fields.name = element('input', { autocomplete: 'off', maxlength: 200 });
    fields.body = element('textarea', { rows: 2, required: true, maxlength: 8000, placeholder: 'Write …' });
    fields.send = element('button.send', { type: 'submit' }, 'Send');
    fields.note = element('p.watch', { role: 'status' });
    const line = (word, field, place) => {
      field.id = `write-${made}-${place}`;
      return element('label', { for: field.id }, element('span', {}, word), field);
    };
    const who = [line('from', fields.alias, 'as'), line('to', fields.id, 'to'), line('called', fields.name, 'called')];
    if (fields.channel) who.unshift(line('in', fields.channel, 'in'));
    form.append(element('div.who', {}, who), line('message', fields.body, 'body'), fields.send, fields.note);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    fields.body.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    this.root = form;
  }

  /** What the channel allows. */
  #offer(channel) {
    const known = JSON.stringify(channel);
    if (this.known === known) return;
    this.known = known;
    this.channel = channel;
    const { alias, id, name, body, send, note } = this.#fields;
    const identities = channel ? [channel.recipient, ...channel.aliases] : [];
    alias.replaceChildren(...identities.map((one) => element('option', { value: one.id }, one.name)));
    const shut = closedBecause(channel, Boolean(this.conversation));
    for (const field of [alias, id, name, body, send]) field.disabled = Boolean(shut);
    const fixed = Boolean(this.conversation) && !channel?.allowed.editing_recipients;
    id.readOnly = name.readOnly = fixed;
    say(note, shut ?? (this.conversation ? '' : 'The webhook goes out signed; its answer is shown below the message.'));
  }

  /** Whom it goes to, until somebody has changed it. */
  #fill(customer) {
    const { id, name } = this.#fields;
    if (this.filled && (id.value !== this.filled.id || name.value !== this.filled.name)) return;
    id.value = customer.id ?? customer.address ?? '';
    name.value = customer.name ?? '';
    this.filled = { id: id.value, name: name.value };
  }

  async #send() {
    const { body, send, note } = this.#fields;
    send.disabled = true;
    try {
      const receipt = await tell('reply', this.#written());
      body.value = '';
      say(note, '');
      this.#sent(receipt);
    } catch (refusal) {
      say(note, `Not sent: ${refusal.message}.`);
    } finally {
      send.disabled = false;
    }
  }

  #written() {
    const { alias, id, name, body } = this.#fields;
    const common = { body: body.value, alias: alias.value };
    const recipient = { id: id.value, ...(name.value && { name: name.value, username: name.value }) };
    if (!this.conversation) return { ...common, account: this.channel.account, recipient };
    const changed = id.value !== this.filled.id || name.value !== this.filled.name;
    return { ...common, conversation: this.conversation, ...(changed && { recipients: [recipient] }) };
  }
}

function closedBecause(channel, answers) {
  if (!channel) return 'No channel was declared for this: nobody can write here.';
  if (channel.type === 'email') return 'Email channels have no webhook: an answer would leave as mail.';
  if (!channel.answers) return 'This channel has no webhook to send to.';
  if (answers && !channel.allowed.replies) return 'This channel does not allow answers.';
  return null;
}

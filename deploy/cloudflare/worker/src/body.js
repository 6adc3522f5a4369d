// A body is whole before any of it leaves: a client that dribbles holds nothing of the app's.

import { KEPT } from "./limits.js";

/** `kind`: too_large, too_slow or broken_off. `bytes`: all of it, to give back; null where it is too much, or not all. */
export class NotWhole extends Error {
  constructor(kind, bytes = null) {
    super(kind);
    Object.assign(this, { kind, bytes });
  }
}

/**
 * What came, as { bytes }, or as { bytes, rest, length } where it is longer than is kept here: `rest` is a reader of what
 * follows, `length` that of the whole. `isTyped`: of a form that is too long as much as is kept is read, to be given back.
 * Throws NotWhole.
 */
export async function read(request, limit, isTyped, idleSeconds) {
  if (!request.body) return { bytes: null };
  const length = lengthOf(request);
  const reader = request.body.getReader();
  const parts = [];
  let size = 0;
  while (size <= KEPT && (isTyped || size <= limit) && !(length > Math.max(limit, isTyped ? KEPT : 0))) {
    const { done, value } = await within(reader.read(), idleSeconds);
    if (done) {
      if (size > limit) throw new NotWhole("too_large", joined(parts, size));
      return { bytes: joined(parts, size) };
    }
    parts.push(value);
    size += value.byteLength;
  }
  // Without a length the app could not tell the whole from a part: none of such a body follows.
  if (size > KEPT && length !== null && length <= limit) return { bytes: joined(parts, size), rest: reader, length };
  await passOver(reader, idleSeconds);
  throw new NotWhole("too_large");
}

/** To its end: who sends would not look for an answer before. */
async function passOver(reader, idleSeconds) {
  try {
    while (!(await within(reader.read(), idleSeconds)).done);
  } catch {
    // it has ended in another way
  }
}

/** The longer body, of the length that was announced: the app notices when it breaks off. */
export function streamed({ bytes, rest, length }, idleSeconds) {
  const { readable, writable } = new FixedLengthStream(length);
  const pump = async () => {
    const writer = writable.getWriter();
    try {
      await writer.write(bytes);
      for (;;) {
        const { done, value } = await within(rest.read(), idleSeconds);
        if (done) break;
        await writer.write(value);
      }
      await writer.close();
    } catch (error) {
      await writer.abort(error).catch(() => {});
    }
  };
  return { stream: readable, pumped: pump() };
}

/** The fields of a form that was not taken, but what nobody typed: [[name, text], ...]. */
export async function typedIn(bytes, contentType) {
  if (!bytes || !isForm(contentType)) return [];
  try {
    const form = await new Response(bytes, { headers: { "Content-Type": contentType } }).formData();
    return [...form].flatMap(carriedApart).filter(
      ([name, text]) => typeof text === "string" && text.trim() && !NOT_TYPED.test(name),
    );
  } catch {
    return []; // no form after all
  }
}

/** A sign-in carries along what was typed before it (app/web/typed.py, `carried`). */
function carriedApart([name, text]) {
  return name === "carried" && text ? JSON.parse(text)[1] : [[name, text]];
}

export const isForm = (contentType) => /^(application\/x-www-form-urlencoded|multipart\/form-data)\b/i.test(contentType);
const NOT_TYPED = /^(csrf_token|request_id|next)$|password|code|token/i;

function lengthOf(request) {
  const text = request.headers.get("Content-Length");
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

async function within(promise, seconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new NotWhole("too_slow")), seconds * 1000);
  });
  try {
    return await Promise.race([promise.catch(() => Promise.reject(new NotWhole("broken_off"))), late]);
  } finally {
    clearTimeout(timer);
  }
}

function joined(parts, size) {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

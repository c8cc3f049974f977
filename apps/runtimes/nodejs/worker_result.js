'use strict';
// The result of a function as JSON text, strictly: what is not JSON is refused with the place and type of it, and never
// written as something else.

const { types } = require('node:util');

const MAX_DEPTH = 512; // the node refuses what is deeper
const { stringify } = JSON; // before any code of the function's can replace it

// A result that is not JSON; the message says what and where.
class NotJson extends Error {}

// The JSON text of a result. JSON.stringify drops or rewrites silently what it cannot say; the walk before it refuses
// that. Members that are undefined are left out, toJSON is honoured (a Date), as everywhere in JavaScript.
function toJson(value) {
  if (value === undefined) return 'null';
  refuse(findWrong(value, []));
  const text = stringify(value);
  if (text === undefined) throw new NotJson('result: toJSON gave undefined, which is not JSON');
  // Only a lone surrogate is written as an escape of this form; the walk finds the string.
  if (/\\ud[89a-f]/.test(text)) refuse(findLoneSurrogate(value, 0));
  return text;
}

function refuse(wrong) {
  if (wrong !== null) throw new NotJson(`result${wrong.steps.reverse().join('')}: ${wrong.what}`);
}

// The first thing in `value` that is not JSON: what it is and the steps to it, innermost first; null if there is none.
function findWrong(value, around) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null;
    case 'number':
      return Number.isFinite(value) ? null : wrong(value);
    case 'object':
      return value === null ? null : findInObject(value, around);
    case 'bigint':
      return wrong('BigInt');
    default: // undefined, function, symbol
      return wrong(typeof value);
  }
}

function wrong(what) {
  return { steps: [], what: `${what} is not JSON` };
}

function findInObject(value, around) {
  const array = Array.isArray(value);
  if (!array) {
    const prototype = Object.getPrototypeOf(value);
    const lost = prototype === Object.prototype || prototype === null ? null : lostContent(value);
    if (lost !== null) return wrong(lost);
  }
  if (around.includes(value)) return wrong('an object that contains itself');
  if (around.length >= MAX_DEPTH) return { steps: [], what: `nested deeper than ${MAX_DEPTH} levels` };
  around.push(value);
  let found = null;
  if (typeof value.toJSON === 'function') {
    const said = value.toJSON('');
    if (said !== undefined) found = findWrong(said, around);
  } else if (array) {
    for (let index = 0; index < value.length && found === null; index++) {
      found = findWrong(value[index], around);
      if (found !== null) found.steps.push(`[${index}]`);
    }
  } else if (!types.isBoxedPrimitive(value)) {
    for (const key of Object.keys(value)) {
      const item = value[key];
      if (item === undefined) continue;
      found = findWrong(item, around);
      if (found === null) continue;
      found.steps.push(member(key));
      break;
    }
  }
  around.pop();
  return found;
}

// What an object is whose content JSON.stringify would lose; null if it would not.
function lostContent(value) {
  const lost =
    types.isMap(value) || types.isSet(value) || types.isWeakMap(value) || types.isWeakSet(value) ||
    types.isPromise(value) || types.isRegExp(value) || types.isNativeError(value) || types.isAnyArrayBuffer(value) ||
    types.isGeneratorObject(value) || ArrayBuffer.isView(value) || typeof value.then === 'function' ||
    types.isSymbolObject(value) || types.isBigIntObject(value) || value instanceof Error;
  if (lost) return className(value);
  if (types.isDate(value) && Number.isNaN(Number(value))) return 'Invalid Date';
  if (types.isNumberObject(value) && !Number.isFinite(Number(value))) return `${Number(value)}`;
  return null;
}

function className(value) {
  const name = value.constructor && value.constructor.name;
  return typeof name === 'string' && name !== '' ? name : 'object';
}

function member(key) {
  return /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key) ? `.${key}` : `[${stringify(key)}]`;
}

function findLoneSurrogate(value, depth) {
  if (depth > MAX_DEPTH || value === null) return null;
  if (typeof value === 'object' && typeof value.toJSON === 'function') return findLoneSurrogate(value.toJSON(''), depth + 1);
  if (typeof value === 'string' || types.isStringObject(value)) {
    return loneSurrogate(String(value)) ? wrong('a string with a lone surrogate') : null;
  }
  if (typeof value !== 'object') return null;
  for (const key of Object.keys(value)) {
    if (loneSurrogate(key)) return wrong(`a key with a lone surrogate (${stringify(key)})`);
    const found = findLoneSurrogate(value[key], depth + 1);
    if (found === null) continue;
    found.steps.push(Array.isArray(value) ? `[${key}]` : member(key));
    return found;
  }
  return null;
}

function loneSurrogate(text) {
  return /\p{Surrogate}/u.test(text);
}

module.exports = { NotJson, toJson };

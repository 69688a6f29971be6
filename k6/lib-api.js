// The requests of FastStock's API. Each is tagged with its route (a template, never a raw path),
// and each answer is held against the API: status, shape, and that it is about what was asked for.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { PRODUCTS, READ_URL, WRITE_TOKEN, WRITE_URL } from './lib-settings.js';

export const LIST = 'GET /api/products';
export const PRODUCT = 'GET /api/products/{id}';
export const STOCK = 'GET /api/products/{id}/stock';
export const STOCKS = 'GET /api/stock';
export const UPDATE_STOCK = 'POST /api/products/{id}/update-stock';
export const OWN_WRITE = 'GET /api/products/{id}/stock (own write)';

http.setResponseCallback(http.expectedStatuses(200));

export function randomInt(first, last) {
  return first + Math.floor(Math.random() * (last - first + 1));
}

export function randomProduct() {
  return randomInt(1, PRODUCTS);
}

// Ends the run at once, with one clear line, when there is nothing to measure.
export function setup() {
  const res = http.get(`${READ_URL}/api/products?page=1&limit=1`, params('setup'));
  if (res.status !== 200) {
    const problem = res.error || `status ${res.status}, ${excerpt(res)}`;
    exec.test.abort(`${READ_URL} does not serve products: ${problem}`);
  }
  const total = parsed(res)?.meta?.total;
  if (!(total >= PRODUCTS)) {
    const remedy = 'seed more, or set PRODUCTS';
    exec.test.abort(`${READ_URL} has ${total} products, PRODUCTS is ${PRODUCTS}: ${remedy}`);
  }
}

export function listProducts(page, limit) {
  const res = http.get(`${READ_URL}/api/products?page=${page}&limit=${limit}`, params(LIST));
  verify(LIST, res, ({ data, meta }) => {
    if (meta.page !== page || meta.limit !== limit) {
      return `meta is not of page ${page}, limit ${limit}`;
    }
    if (meta.totalPages !== Math.ceil(meta.total / limit)) {
      return 'meta.totalPages does not fit meta.total';
    }
    const expected = Math.max(0, Math.min(limit, meta.total - (page - 1) * limit));
    if (data.length !== expected) return `${data.length} products`;
    if (!data.every(isProduct)) return 'a product of another shape';
    if (data.some((product, i) => i > 0 && product.id <= data[i - 1].id)) return 'not by id';
    return '';
  });
}

export function readProduct(id) {
  const res = http.get(`${READ_URL}/api/products/${id}`, params(PRODUCT));
  verify(PRODUCT, res, (product) => {
    if (product.id !== id) return 'another product';
    if (!isProduct(product)) return 'a product of another shape';
    return etagProblem(res, product);
  });
}

export function readStock(id) {
  const res = http.get(`${READ_URL}/api/products/${id}/stock`, params(STOCK));
  verify(STOCK, res, (state) => {
    if (state.id !== id) return 'another product';
    if (!isState(state)) return 'another shape';
    return etagProblem(res, state);
  });
}

export function readStocks(ids) {
  const res = http.get(`${READ_URL}/api/stock?ids=${ids.join(',')}`, params(STOCKS));
  verify(STOCKS, res, ({ data, missing }) => {
    if (missing.length > 0) return 'products are missing';
    if (!data.every(isState)) return 'another shape';
    const found = data.map((state) => state.id).sort((a, b) => a - b);
    const wanted = [...ids].sort((a, b) => a - b);
    return found.join() === wanted.join() ? '' : 'other products than asked for';
  });
}

// Returns the answered state, { id, stock, version, delta }, or null when the change was not
// accepted.
export function changeStock(id, delta) {
  const url = `${WRITE_URL}/api/products/${id}/update-stock`;
  const res = http.post(url, JSON.stringify({ delta }), writeParams());
  const ok = verify(UPDATE_STOCK, res, (state) => {
    if (state.id !== id) return 'another product';
    if (!isState(state) || state.delta !== delta) return 'another shape or delta';
    return etagProblem(res, state);
  });
  return ok ? parsed(res) : null;
}

// Reads what the given answer of changeStock() has written: never an older version.
export function readOwnWrite(written) {
  const res = http.get(`${READ_URL}/api/products/${written.id}/stock`, {
    ...params(OWN_WRITE),
    headers: { 'Min-Version': String(written.version) },
  });
  verify(OWN_WRITE, res, (state) => {
    if (state.id !== written.id) return 'another product';
    if (!(state.version >= written.version)) {
      return `version ${state.version} after writing ${written.version}`;
    }
    if (state.version === written.version && state.stock !== written.stock) {
      return `not the stock ${written.stock} that was written`;
    }
    return etagProblem(res, state);
  });
}

const paramsByRoute = {}; // made once each: this is the hot path of the generator

function params(route) {
  paramsByRoute[route] ||= { tags: { name: route }, timeout: '5s', redirects: 0 };
  return paramsByRoute[route];
}

function writeParams() {
  const headers = { 'Content-Type': 'application/json' };
  if (WRITE_TOKEN) headers.Authorization = `Bearer ${WRITE_TOKEN}`;
  return { ...params(UPDATE_STOCK), headers };
}

function isState(state) {
  const { id, stock, version } = state;
  return Number.isInteger(id) && Number.isInteger(stock) && stock >= 0 && version >= 1;
}

function isProduct(product) {
  return isState(product) && typeof product.name === 'string' && typeof product.price === 'number'
    && product.createdAt.endsWith('Z') && product.updatedAt.endsWith('Z');
}

function etagProblem(res, state) {
  const etag = res.headers.Etag;
  return etag === `"${state.version}"` ? '' : `ETag ${etag} with version ${state.version}`;
}

let complained = false;

// Counts the answer as right or wrong. `problemOf` gets the parsed body and returns what is wrong
// with it, or ''. The first wrong answer that a virtual user sees goes to the console.
function verify(route, res, problemOf) {
  const problem = problemWith(res, problemOf);
  check(problem, { 'answer is right': (found) => found === '' }, { name: route });
  if (problem !== '' && !complained) {
    complained = true;
    console.error(`${route}: ${problem}: ${res.url}: ${excerpt(res)}`);
  }
  return problem === '';
}

function problemWith(res, problemOf) {
  if (!res.status) return res.error;
  if (res.status !== 200) return `status ${res.status}`;
  const body = parsed(res);
  if (body === null || typeof body !== 'object') return 'no JSON object';
  try {
    return problemOf(body);
  } catch (error) {
    return `another shape (${error.message})`;
  }
}

function parsed(res) {
  try {
    return JSON.parse(res.body);
  } catch {
    return null;
  }
}

function excerpt(res) {
  return res.body ? res.body.slice(0, 300) : 'no body';
}

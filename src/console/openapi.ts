/** The OpenAPI document of the API, made of the routes and fields; a test compares it with both. */

const TEXT = { type: ['string', 'null'] } as const;
const TIME = { type: ['string', 'null'], format: 'date-time', description: 'UTC' } as const;
const COUNT = { type: ['integer', 'null'] } as const;

const TABLE = {
  type: 'object',
  properties: {
    id: { type: 'string', description: '32 hex digits' },
    dropId: { ...TEXT, description: 'all tables of one statement have the same' },
    schema: TEXT,
    table: TEXT,
    how: { ...TEXT, description: 'the kind of the statement' },
    droppedAt: TIME,
    user: TEXT,
    client: TEXT,
    rows: { ...COUNT, description: 'an estimate' },
    bytes: { ...COUNT, description: 'an estimate' },
    state: { enum: ['HOLD', 'PURGE', 'EVAC', 'DROP', 'TORN'] },
    expiresAt: { ...TIME, description: 'the end of its hold; null: it is pinned, or over' },
    next: { ...TEXT, description: 'its next step, in words' },
    statement: { ...TEXT, description: 'null: this account may not see it' },
  },
} as const;

const ERROR = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        code: { type: 'string', description: 'docs/reference/errors.md lists them' },
        message: { type: 'string' },
        remedy: { type: 'string' },
      },
    },
  },
} as const;

const CHANGED = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    action: { type: 'string' },
    message: { type: 'string' },
    warnings: { type: 'array', items: { type: 'string' } },
  },
} as const;

function answers(schema: object): object {
  const content = (of: object) => ({ 'application/json': { schema: of } });
  return {
    '200': { description: 'done', content: content(schema) },
    default: { description: 'an error', content: content(ERROR) },
  };
}

const DONE = { type: 'object', properties: { isDone: { type: 'boolean' } } } as const;

const EVENT = {
  type: 'object',
  properties: {
    seq: { type: 'string' },
    at: TIME,
    event: { type: 'string', description: 'docs/reference/events.md lists them' },
    who: { type: 'string' },
    details: { type: 'object' },
    id: TEXT,
    dropId: TEXT,
    table: TEXT,
  },
} as const;

function operation(summary: string, properties: object): object {
  const body = { 'application/json': { schema: { type: 'object', properties } } };
  return { post: { summary, requestBody: { content: body }, responses: answers(DONE) } };
}

function query(name: string, description: string): object {
  return { name, in: 'query', schema: { type: 'string' }, description };
}

const ID = { name: 'id', in: 'path', required: true, schema: { type: 'string' } } as const;

function action(summary: string, properties: object): object {
  const body = { 'application/json': { schema: { type: 'object', properties } } };
  return {
    post: {
      summary,
      parameters: [ID],
      requestBody: { content: body },
      responses: answers(CHANGED),
    },
  };
}

export const OPENAPI = {
  openapi: '3.1.0',
  info: { title: 'undrop', version: '1' },
  security: [{ account: [] }],
  components: {
    securitySchemes: {
      account: { type: 'http', scheme: 'basic', description: 'an account of the server' },
    },
  },
  paths: {
    '/api/v1/tables': {
      get: {
        summary: 'the dropped tables that the account could bring back, newest first',
        parameters: [
          query('schema', 'of that schema'),
          query('user', 'dropped by that user'),
          query('state', 'in that state'),
          query('kind', 'by that kind of statement, as "how" has it'),
          query('sort', 'dropped (default), size or expires: the last two have no next page'),
          query('since', 'dropped then or later, as 2026-11-24 14:00 (UTC)'),
          query('q', 'a part of a name, the user, an id or the statement'),
          query('limit', 'from 1 to 1000; default 50'),
          query('cursor', 'the "next" of the page before'),
        ],
        responses: answers({
          type: 'object',
          properties: { tables: { type: 'array', items: TABLE }, next: TEXT },
        }),
      },
    },
    '/api/v1/tables/{id}': {
      get: { summary: 'one dropped table', parameters: [ID], responses: answers(TABLE) },
    },
    '/api/v1/tables/{id}/plan': {
      get: {
        summary: 'EXPLAIN UNDROP TABLE: what a restore would do',
        parameters: [
          ID,
          query('to', '[schema.]name; default: its own'),
          query('swap', 'true: instead of the live table'),
          query('keys', 'true: also foreign keys to another table of the name'),
        ],
        responses: answers({
          type: 'object',
          properties: {
            id: { type: 'string' },
            table: { type: 'string' },
            becomes: { type: 'string' },
            rows: COUNT,
            foreignKeys: { type: 'integer' },
            triggers: { type: 'integer' },
            notes: { type: 'array', items: { type: 'string' } },
            isRefused: { type: 'boolean' },
          },
        }),
      },
    },
    '/api/v1/tables/{id}/restore': action('UNDROP TABLE', {
      to: { type: 'string', description: '[schema.]name; default: its own' },
      keys: { type: 'boolean', description: 'also foreign keys to another table of the name' },
    }),
    '/api/v1/tables/{id}/swap': action('UNDROP TABLE … SWAP: the live table is held', {}),
    '/api/v1/tables/{id}/hold': action('HOLD TABLE: one of both', {
      for: { type: 'string', description: 'a duration like 30d' },
      until: { type: 'string', description: 'a time like 2026-12-31 00:00 (UTC)' },
    }),
    '/api/v1/tables/{id}/purge': action('PURGE TABLE', {}),
    '/api/v1/tables/{id}/pin': {
      post: { summary: 'for operators', parameters: [ID], responses: answers(DONE) },
    },
    '/api/v1/history': {
      get: {
        summary: 'who did what, newest first; for operators',
        parameters: [
          query('event', 'of that kind'),
          query('who', 'a part of who did it'),
          query('table', 'a part of its name'),
          query('limit', 'from 1 to 1000; default 50'),
          query('cursor', 'the "next" of the page before'),
        ],
        responses: answers({
          type: 'object',
          properties: { events: { type: 'array', items: EVENT }, next: TEXT },
        }),
      },
    },
    '/api/v1/pause': operation('stops all collectors of the server; for operators', {
      for: { type: 'string', description: 'a duration like 2h; default: until it is ended' },
      reason: { type: 'string' },
    }),
    '/api/v1/resume': operation('ends the pause; for operators', {}),
    '/api/v1/status': {
      get: {
        summary: 'whether clients are served',
        responses: answers({
          type: 'object',
          properties: {
            version: { type: 'string' },
            isReady: { type: 'boolean' },
            problems: { type: 'array', items: { type: 'string' } },
          },
        }),
      },
    },
  },
} as const;

/** The comments of tracing libraries, in the forms in which they write them. */
import { expect, test } from '@jest/globals';
import { commentTags } from '../../src/sql/comment-tags.js';

const TRACE = '00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01';

test.each<[string, ReturnType<typeof commentTags>]>([
  // As the libraries for Django, Rails and Hibernate write it.
  [
    `DROP TABLE a /*controller='orders',route='%5Epolls%2F%24',traceparent='${TRACE}'*/`,
    { controller: 'orders', route: '^polls/$', traceparent: TRACE },
  ],
  [`/* traceparent='${TRACE}' */ DROP TABLE a`, { traceparent: TRACE }],
  ["DROP TABLE a /* by hand */ /*a='1'*/ -- x", { a: '1' }],
  ["DROP TABLE a /*a='it\\'s',b='100%'*/", { a: "it's", b: '100%' }],
  ["DROP TABLE a /*a='x, b=y'*/", { a: 'x, b=y' }],
  ["DROP TABLE a /*__proto__='1'*/", Object.fromEntries([['__proto__', '1']])],
  ['DROP TABLE a', null],
  ['DROP TABLE a /* undrop: pin */', null],
  ["DROP TABLE a /*a='1' and more*/", null],
  ["DROP TABLE a /*!50000 a='1'*/", null],
  ["DROP TABLE a /*a='1'", null],
])('%s', (text, tags) => {
  expect(commentTags(text)).toEqual(tags);
});

test('many and long ones are cut', () => {
  const many = Array.from({ length: 40 }, (_, index) => `k${index}='${'x'.repeat(400)}'`);
  const tags = commentTags(`DROP TABLE a /*${many.join(',')}*/`) ?? {};
  expect(Object.keys(tags)).toHaveLength(32);
  expect(tags['k0']).toHaveLength(256);
});

test('a text that is made to be slow is soon read', () => {
  expect(commentTags(`DROP TABLE a /*${"a='".repeat(20_000)}*/`)).toBeNull();
  expect(commentTags('/*'.repeat(40_000))).toBeNull();
});

/**
 * What means something to a lexer wherever it comes to stand: bytes of quoting, comments, numbers
 * and names, halves of wide characters. As latin1 text.
 */
export const STRAY_BYTES: readonly string[] = [
  ...['\0', '\xa0', '\\', "'", '"', '`', ';', '.', '@', '$', '/*', '*/', '/*!', '--', '-- ', '#'],
  ...['\n', '(', ')', ',', '0', '\x81', '\xe8', '\xff', '\x7f', '1.', 'e1', ':', '[', ']'],
];

import type { Item } from './shapes.ts';
import { printable, valueText } from './text.ts';

/** `key` or `key<TAB>value` (several values: concurrent writes), safe for a terminal. */
export function itemText({ key, value, siblings }: Item): string {
  const values = (siblings ?? [{ value }]).flatMap((variant) => (variant.value === undefined ? [] : [variant.value]));
  const shown = values.map((base64) => valueText(Buffer.from(base64, 'base64')));
  return [printable(key), ...(shown.length === 0 ? [] : [shown.join(' | ')])].join('\t');
}

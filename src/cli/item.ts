import type { Item, ItemBytes, ItemValue } from './shapes.ts';
import { printable, valueText } from './text.ts';

/** `key` or `key<TAB>value` (several values: concurrent writes), safe for a terminal. */
export function itemText({ key, siblings, ...value }: Item): string {
  const shown = (siblings ?? [value]).flatMap((variant) => variantText(variant) ?? []);
  return [printable(key), ...(shown.length === 0 ? [] : [shown.join(' | ')])].join('\t');
}

/** Undefined where the value was not asked for. */
function variantText({ value, members, fields, binaryFields = [] }: ItemValue): string | undefined {
  if (members !== undefined) return `{${members.map(bytesText).join(', ')}}`;
  if (fields !== undefined) {
    const named = Object.entries(fields).map(([field, held]) => `${printable(field)}: ${bytesText(held)}`);
    const binary = binaryFields.map(({ field, value: held }) => `${bytesText(field)}: ${bytesText(held)}`);
    return `{${[...named, ...binary].join(', ')}}`;
  }
  return value === undefined ? undefined : valueText(Buffer.from(value, 'base64'));
}

function bytesText(value: ItemBytes): string {
  return typeof value === 'string' ? printable(value) : valueText(Buffer.from(value.base64, 'base64'));
}

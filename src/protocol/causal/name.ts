import { compareUtf8 } from '../../lib/utf8.ts';

/** The name of an object; its shard follows from it. */
export interface ObjectName {
  readonly bucket: string;
  readonly key: string;
}

/** The name as one text: a key of maps. */
export function nameId({ bucket, key }: ObjectName): string {
  return `${bucket}\0${key}`;
}

/** The order of names on the disk: negative where `a` comes first. */
export function compareNames(a: ObjectName, b: ObjectName): number {
  return compareUtf8(a.bucket, b.bucket) || compareUtf8(a.key, b.key);
}

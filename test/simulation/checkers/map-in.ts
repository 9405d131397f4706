/** The map at a key of a map of maps; a new one where there was none. */
export function mapIn<O, K, V>(maps: Map<O, Map<K, V>>, at: O): Map<K, V> {
  let map = maps.get(at);
  if (map === undefined) {
    map = new Map();
    maps.set(at, map);
  }
  return map;
}

/** As many values as one statement takes, whatever the database. */
const CHUNK = 500

export function chunksOf<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / CHUNK) }, (_, index) =>
    all.slice(index * CHUNK, (index + 1) * CHUNK),
  )
}

/** What is read for some values, however many: a statement for each chunk of them, none if there are none. */
export async function readInChunks<T, Row>(
  all: readonly T[],
  read: (chunk: T[]) => Promise<Row[]>,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const chunk of chunksOf(all)) rows.push(...(await read(chunk)))
  return rows
}

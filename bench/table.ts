import { type Figure, median } from './measure.ts'

/** The figures of a subject for a person: medians, with the lowest and the highest round in brackets. */
export function table(figures: readonly Figure[]): string {
  const rows = [
    ['figure', 'unit', 'hearth', '', 'peer', '', '', 'ratio'],
    ...figures.map(({ name, unit, values, peer, peerValues }) => [
      name,
      unit,
      shown(median(values)),
      spread(values),
      peer ?? '-',
      ...(peer === null ? ['', '', ''] : [shown(median(peerValues)), spread(peerValues)]),
      peer === null || median(peerValues) === 0 ? '' : shown(median(values) / median(peerValues)),
    ]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const rightAligned = [2, 5, 7]
  return rows
    .map((row) =>
      widths
        .map((width, column) => {
          const cell = row[column] ?? ''
          return rightAligned.includes(column) ? cell.padStart(width) : cell.padEnd(width)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function spread(values: readonly number[]): string {
  return values.length < 2 ? '' : `(${shown(Math.min(...values))}-${shown(Math.max(...values))})`
}

function shown(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return value.toFixed(Math.abs(value) >= 10 || value === 0 ? 1 : 2)
}

/**
 * A float as Python's `repr` writes it: shortest digits that read back the same, exponent from 1e16 on and
 * below 1e-4, always with a point or exponent (`2.0`, `1e+16`, `1e-07`, `-0.0`, `nan`, `inf`).
 */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [mantissa = '', exponentText = '0'] = value.toExponential().split('e')
  const exponent = Number(exponentText)
  if (exponent < -4 || exponent >= 16) {
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
  }
  // Between 1e-4 and 1e16 JavaScript writes the same digits without an exponent.
  const text = String(value)
  return text.includes('.') ? text : `${text}.0`
}

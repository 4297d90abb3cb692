import { useState } from 'react'
import { ObjectFields } from './collections'
import { useForm } from './context'
import { Field } from './Field'
import type { LeafProps } from './fields'
import { Frame, useMarks } from './Frame'
import { labelOf, partOf, type Schema, variantLabel } from './schema'
import { startOfVariant, variantOf } from './values'

interface UnionProps extends LeafProps {
  variants: Schema[]
  tag: string | undefined
}

/** A value of one of several kinds: which one, then its fields. */
export function UnionField({ variants, tag, part, name, path, value, isRequired, onChange, label, isBare }: UnionProps) {
  const { root, isDisabled } = useForm()
  const [chosen, choose] = useState<number>() // what two kinds have in common does not say which one is meant
  const { marks, fault } = useMarks(path, Boolean(part.schema.description), isRequired)
  const isSet = value !== undefined && (value !== null || !part.nullable)
  const at = isSet || chosen !== undefined || isRequired ? (chosen ?? variantOf(value, variants, root, tag)) : -1
  const variant = variants[at]
  const heading = label ?? labelOf(name, part.schema)
  const pick = (next: number) => {
    choose(next < 0 ? undefined : next)
    const picked = variants[next]
    onChange(picked ? startOfVariant(picked, root, tag) : isRequired && part.nullable ? null : undefined)
  }
  const inner = variant && partOf(variant, root)
  return (
    <Frame isGroup path={path} label={heading} hint={part.schema.description} {...{ fault, marks, isRequired, isBare }}>
      <select
        className="input field-kind" aria-label={`Kind of ${heading}`} value={String(at)} disabled={isDisabled}
        onChange={(event) => pick(Number(event.currentTarget.value))}
      >
        {(!isRequired || part.nullable) && <option value="-1">Not set</option>}
        {variants.map((each, place) => <option key={place} value={String(place)}>{variantLabel(each, root, tag)}</option>)}
      </select>
      {inner?.shape.kind === 'object' && inner.shape.properties.length > 0 ? (
        <ObjectFields
          key={at} name={name} path={path} schema={variant} part={inner} value={value} isRequired onChange={onChange}
          properties={inner.shape.properties} required={inner.shape.required} others={inner.shape.others} hidden={tag}
        />
      ) : (
        variant && (
          <Field key={at} name={name} label={heading} isBare path={path} schema={variant} value={value} isRequired={isRequired} onChange={onChange} />
        )
      )}
    </Frame>
  )
}

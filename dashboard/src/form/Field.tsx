import { ListField, ObjectField } from './collections'
import { type FieldProps, useForm } from './context'
import { BooleanField, ChoiceField, ConstantField, NumberField, SecretField, TextField } from './fields'
import { JsonField } from './JsonField'
import { isNumber } from './json'
import { isSecret, partOf } from './schema'
import { UnionField } from './UnionField'

const DEEPEST = 12

/** The field for a part of a schema; JSON where there is none for it, or where the value is of another kind. */
export function Field(props: FieldProps) {
  const { root } = useForm()
  const part = partOf(props.schema, root)
  const leaf = { ...props, part }
  const { shape } = part
  const isComposite = typeof props.value === 'object' && props.value !== null && !isNumber(props.value)
  if (props.path.split('.').length > DEEPEST) return <JsonField {...leaf} />
  switch (shape.kind) {
    case 'text':
      if (isComposite) return <JsonField {...leaf} />
      return isSecret(part.schema) ? <SecretField {...leaf} /> : <TextField {...leaf} />
    case 'secret':
      return isComposite ? <JsonField {...leaf} /> : <SecretField {...leaf} />
    case 'integer':
    case 'number':
      return isComposite ? <JsonField {...leaf} /> : <NumberField {...leaf} />
    case 'boolean':
      return isComposite ? <JsonField {...leaf} /> : <BooleanField {...leaf} />
    case 'choice':
      return isComposite ? <JsonField {...leaf} /> : <ChoiceField {...leaf} options={shape.options} />
    case 'constant':
    case 'null':
      return <ConstantField {...leaf} />
    case 'list':
      return <ListField {...leaf} item={shape.item} />
    case 'object':
      return <ObjectField {...leaf} properties={shape.properties} required={shape.required} others={shape.others} />
    case 'union':
      return <UnionField {...leaf} variants={shape.variants} tag={shape.tag} />
    case 'json':
      return <JsonField {...leaf} />
  }
}

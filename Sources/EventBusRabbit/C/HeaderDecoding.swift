import CRabbitMQ
import EventBus

extension String {
    /// Creates a text in which invalid UTF-8 is replaced.
    init(lossy bytes: amqp_bytes_t) {
        self = String(
            decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.len),
            as: UTF8.self
        )
    }

    /// Creates a text, or returns `nil` if the bytes are not valid UTF-8.
    init?(exactly bytes: amqp_bytes_t) {
        self.init(
            validating: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.len),
            as: UTF8.self
        )
    }
}

extension String {
    /// Creates an identifier: the text, or the first bytes in hexadecimal if it is not valid UTF-8.
    ///
    /// Replacing invalid UTF-8 would map many identifiers to one text, which would be three times as long.
    init(identifier bytes: amqp_bytes_t) {
        if let text = String(exactly: bytes) {
            self = text
            return
        }
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in [UInt8](copying: bytes).prefix(AMQPProperties.maximumTextLength / 2) {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        self = String(decoding: text, as: UTF8.self)
    }
}

extension [UInt8] {
    init(copying bytes: amqp_bytes_t) {
        self.init(UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.len))
    }
}

/// A decoder of received tables to Swift values.
///
/// It handles anything a peer can send: values without a Swift counterpart are left out, and ``isLossless`` is then
/// `false`.
struct HeaderDecoder {
    /// A Boolean value indicating whether every name and value has a counterpart, so that the table can be sent again
    /// unchanged.
    private(set) var isLossless = true

    mutating func values(of table: amqp_table_t) -> HeaderTable {
        values(of: table, depth: 0)
    }

    private mutating func values(of table: amqp_table_t, depth: Int) -> HeaderTable {
        guard table.num_entries > 0, let entries = table.entries else { return [:] }
        let buffer = UnsafeBufferPointer(start: entries, count: Int(table.num_entries))
        var values = HeaderTable(minimumCapacity: buffer.count)
        /// The names whose first value was left out.
        var leftOut = HeaderTable()
        for entry in buffer {
            let exact = String(exactly: entry.key)
            if exact == nil { isLossless = false }
            let key = exact ?? String(lossy: entry.key)
            let value = value(of: entry.value, depth: depth)
            if values[key] != nil || (!leftOut.isEmpty && leftOut[key] != nil) {
                // If a name occurs twice, the first value counts, because that is the one that the broker reads and sets.
                isLossless = false
            } else if let value {
                values[key] = value
            } else {
                leftOut[key] = .null
                isLossless = false
            }
        }
        return values
    }

    private mutating func value(of field: amqp_field_value_t, depth: Int) -> HeaderValue? {
        switch amqp_field_value_kind_t(rawValue: UInt32(field.kind)) {
        case AMQP_FIELD_KIND_UTF8:
            return String(exactly: field.value.bytes).map { .string($0) } ?? .bytes([UInt8](copying: field.value.bytes))
        case AMQP_FIELD_KIND_BYTES: return .bytes([UInt8](copying: field.value.bytes))
        case AMQP_FIELD_KIND_BOOLEAN: return .bool(field.value.boolean != 0)
        case AMQP_FIELD_KIND_I8: return .int(Int64(field.value.i8))
        case AMQP_FIELD_KIND_U8: return .int(Int64(field.value.u8))
        case AMQP_FIELD_KIND_I16: return .int(Int64(field.value.i16))
        case AMQP_FIELD_KIND_U16: return .int(Int64(field.value.u16))
        case AMQP_FIELD_KIND_I32: return .int(Int64(field.value.i32))
        case AMQP_FIELD_KIND_U32: return .int(Int64(field.value.u32))
        case AMQP_FIELD_KIND_I64: return .int(field.value.i64)
        case AMQP_FIELD_KIND_U64: return Int64(exactly: field.value.u64).map { .int($0) }
        case AMQP_FIELD_KIND_F32: return .double(Double(field.value.f32))
        case AMQP_FIELD_KIND_F64: return .double(field.value.f64)
        case AMQP_FIELD_KIND_TIMESTAMP: return .timestamp(seconds: Int64(bitPattern: field.value.u64))
        case AMQP_FIELD_KIND_VOID: return .null
        case AMQP_FIELD_KIND_TABLE:
            guard depth < HeaderValue.maximumDepth else { return nil }
            return .table(values(of: field.value.table, depth: depth + 1))
        case AMQP_FIELD_KIND_ARRAY:
            guard depth < HeaderValue.maximumDepth else { return nil }
            let array = field.value.array
            guard array.num_entries > 0, let entries = array.entries else { return .array([]) }
            var values: [HeaderValue] = []
            for entry in UnsafeBufferPointer(start: entries, count: Int(array.num_entries)) {
                if let value = value(of: entry, depth: depth + 1) {
                    values.append(value)
                } else {
                    isLossless = false
                }
            }
            return .array(values)
        default:
            // Decimals, which no Swift type here can represent without loss.
            return nil
        }
    }
}

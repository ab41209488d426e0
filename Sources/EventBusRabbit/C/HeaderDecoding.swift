import CRabbitMQ
import EventBus

extension String {
    /// The text, with what is not UTF-8 replaced.
    init(lossy bytes: amqp_bytes_t) {
        self = String(
            decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.len),
            as: UTF8.self
        )
    }

    /// The text, or `nil` if it is not UTF-8.
    init?(exactly bytes: amqp_bytes_t) {
        self.init(
            validating: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.len),
            as: UTF8.self
        )
    }
}

extension String {
    /// An identifier: the text, or, where that is not UTF-8, its first bytes in hexadecimal.
    ///
    /// Replacing what is not UTF-8 would give many identifiers one text, and be three times as long.
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

/// Turns a table that came over the wire into Swift values.
///
/// Nothing a peer can send is beyond it: what has no counterpart is left out, and ``isLossless`` says so.
struct HeaderDecoder {
    /// Whether every name and value has a counterpart, so that the table could go out again as it came.
    private(set) var isLossless = true

    mutating func values(of table: amqp_table_t) -> [String: HeaderValue] {
        values(of: table, depth: 0)
    }

    private mutating func values(of table: amqp_table_t, depth: Int) -> [String: HeaderValue] {
        guard table.num_entries > 0, let entries = table.entries else { return [:] }
        let buffer = UnsafeBufferPointer(start: entries, count: Int(table.num_entries))
        var values = [String: HeaderValue](minimumCapacity: buffer.count)
        for entry in buffer {
            let exact = String(exactly: entry.key)
            if exact == nil { isLossless = false }
            let key = exact ?? String(lossy: entry.key)
            if let value = value(of: entry.value, depth: depth) {
                // Of two with one name the later counts.
                if values.updateValue(value, forKey: key) != nil { isLossless = false }
            } else {
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
            // Decimals: no Swift type here can hold one without loss.
            return nil
        }
    }
}

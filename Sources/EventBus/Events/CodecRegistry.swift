/// The codecs of a bus: one to encode with, all to decode with.
struct CodecRegistry: Sendable {
    let encoder: any EventCodec
    private let decoders: [String: any EventCodec]

    init(encoder: any EventCodec, others: [any EventCodec]) {
        self.encoder = encoder
        var decoders: [String: any EventCodec] = [:]
        for codec in others + [encoder] {
            decoders[Self.normalized(codec.contentType)] = codec
        }
        self.decoders = decoders
    }

    /// The codec for `contentType`; parameters such as `; charset=utf-8` do not count, and an empty one means the
    /// default codec, since foreign clients often set none.
    func decoder(for contentType: String) throws(EventBusError) -> any EventCodec {
        if contentType.isEmpty || contentType == encoder.contentType { return encoder }
        if let codec = decoders[Self.normalized(contentType)] { return codec }
        throw EventBusError(
            .decodingFailed,
            "no codec for content type \(contentType.quotedForError); known: \(decoders.keys.sorted().joined(separator: ", "))"
        )
    }

    private static func normalized(_ contentType: String) -> String {
        let essence = contentType.prefix { $0 != ";" }
        return essence.filter { $0 != " " }.lowercased()
    }
}

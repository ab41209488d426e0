/// The codecs of a bus: one that encodes, and all that decode.
struct CodecRegistry: Sendable {
    let encoder: any EventCodec
    private let decoders: [String: any EventCodec]
    /// Additional content types that the encoding codec reads.
    private var accepted: Set<String> = []

    init(encoder: any EventCodec, others: [any EventCodec]) {
        self.encoder = encoder
        var decoders: [String: any EventCodec] = [:]
        for codec in others + [encoder] {
            decoders[Self.normalized(codec.contentType)] = codec
        }
        self.decoders = decoders
    }

    /// Returns the same codecs, with payloads of these content types read by the encoding codec.
    func accepting(_ contentTypes: Set<String>) -> CodecRegistry {
        var codecs = self
        codecs.accepted = Set(contentTypes.map(Self.normalized))
        return codecs
    }

    /// Returns the codec for `contentType`. Parameters such as `; charset=utf-8` are ignored. An empty type selects the
    /// default codec, because foreign clients often set none.
    func decoder(for contentType: String) throws(EventBusError) -> any EventCodec {
        if contentType.isEmpty || contentType == encoder.contentType { return encoder }
        let normalized = Self.normalized(contentType)
        if let codec = decoders[normalized] { return codec }
        if normalized.isEmpty || accepted.contains(normalized) || accepted.contains("*") { return encoder }
        // RFC 6839: a type with the suffix +json can be read as JSON. text/json is an old name of it.
        if normalized.hasSuffix("+json") || normalized == "text/json", let codec = decoders["application/json"] {
            return codec
        }
        throw EventBusError(
            .decodingFailed,
            "no codec for content type \(contentType.quotedForError); known: "
                + decoders.keys.sorted().joined(separator: ", ")
                + "; name it in the subscription's acceptedContentTypes if the bus's codec can read it"
        )
    }

    private static func normalized(_ contentType: String) -> String {
        let essence = contentType.prefix { $0 != ";" }
        return essence.filter { $0 != " " }.lowercased()
    }
}

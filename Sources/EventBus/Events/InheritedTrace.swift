/// The limits for trace headers of a handled event that are passed on with what its handler publishes.
///
/// Anyone who may publish an event chooses them. Without a limit they could make the handler's own events too large.
enum InheritedTrace {
    /// The names of the headers that carry a trace, and the maximum lengths of their values in bytes: that of W3C's format,
    /// and what W3C requires every service to pass on.
    static let maximumLengths = ["traceparent": 55, "tracestate": 512, "baggage": maximumLength]

    /// The maximum length of the header of another format, in bytes.
    static let maximumLength = 8192

    /// Returns the text of a header, or `nil` if it is none that is passed on.
    static func text(of value: HeaderValue?, named name: String) -> String? {
        guard let text = value?.string else { return nil }
        let limit = maximumLengths[name.lowercased()] ?? maximumLength
        return text.utf8.count <= limit && !text.hasControlCharacters ? text : nil
    }
}

extension Envelope {
    /// Adds trace headers of the handled event, except those that the event has already or that would make its headers too
    /// large.
    mutating func inherit(_ traceHeaders: [String: HeaderValue]) {
        if traceHeaders.isEmpty { return }
        for (name, value) in traceHeaders where headers[name] == nil {
            headers[name] = value
            if headerSize > TransportLimits.maximumHeaderSize { headers[name] = nil }
        }
    }

    /// The size of the headers that the limit is about, in bytes.
    var headerSize: Int { headers.values.extent.size + ownHeaderSize }
}

public import Hummingbird

/// A document that describes an HTTP interface to clients and to tools.
public struct APIDocument: ResponseGenerator, Sendable {
    /// The document in JSON, of OpenAPI 3.1.
    public var json: String

    /// A document that is written already.
    public init(json: String) {
        self.json = json
    }

    /// The document.
    public func response(from request: Request, context: some RequestContext) throws -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: json))
        )
    }
}

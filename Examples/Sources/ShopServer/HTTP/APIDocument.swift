public import Hummingbird

/// A document that describes an HTTP interface to clients and tools.
public struct APIDocument: ResponseGenerator, Sendable {
    /// The document as OpenAPI 3.1 in JSON.
    public var json: String

    /// Creates a document from existing JSON.
    public init(json: String) {
        self.json = json
    }

    /// Returns the document as a response.
    public func response(from request: Request, context: some RequestContext) throws -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: json))
        )
    }
}

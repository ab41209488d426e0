public import EventBusServiceKit
import FoundationEssentials
import Hummingbird
public import HummingbirdTesting

extension TestClientProtocol {
    /// Sends a GET request.
    public func get(_ uri: String) async throws -> TestResponse {
        try await execute(uri: uri, method: .get)
    }
}

extension TestResponse {
    /// Decodes the body from JSON.
    public func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(body.readableBytesView))
    }
}

/// A problem document as a client reads it.
public struct ProblemDocument: Decodable, Sendable {
    /// The kind of problem.
    public var title: String
    /// The status of the response.
    public var status: Int
    /// The problem in this case.
    public var detail: String?
    /// The invalid fields.
    public var errors: [HTTPProblem.FieldError]?
}

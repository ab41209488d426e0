import FoundationEssentials
import Hummingbird
public import HummingbirdTesting
public import ServiceKit

extension TestClientProtocol {
    /// Asks for what is at a path.
    public func get(_ uri: String) async throws -> TestResponse {
        try await execute(uri: uri, method: .get)
    }
}

extension TestResponse {
    /// The body, read from JSON.
    public func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(body.readableBytesView))
    }
}

/// A problem document as a client reads it.
public struct ProblemDocument: Decodable, Sendable {
    /// What kind of problem it is.
    public var title: String
    /// The status of the response.
    public var status: Int
    /// What was wrong in this case.
    public var detail: String?
    /// The fields that are wrong.
    public var errors: [HTTPProblem.FieldError]?
}

import Hummingbird

/// How the parameters of a list's query are read.
public enum QueryParameters {
    /// Reads them one by one; none may be given twice.
    ///
    /// - Parameters:
    ///   - parameters: The parameters of a request.
    ///   - rule: What the list can be asked for with, as a client is told it.
    ///   - read: Takes a value and the name of its parameter; returns what is wrong with it.
    /// - Throws: ``HTTPProblem`` 400, which names each parameter that is wrong and what it can be.
    public static func read(
        _ parameters: some Sequence<(key: Substring, value: Substring)>,
        rule: String,
        _ read: (_ value: Substring, _ name: Substring) -> String?
    ) throws(HTTPProblem) {
        var problems: [HTTPProblem.FieldError] = []
        var seen: Set<Substring> = []
        for (name, value) in parameters {
            let problem = seen.insert(name).inserted ? read(value, name) : "is given more than once; give it once"
            if let problem { problems.append(.init(field: String(name.prefix(100)), problem: problem)) }
        }
        guard problems.isEmpty else {
            throw HTTPProblem(
                .badRequest,
                "The query is not valid",
                detail: rule,
                fields: Array(problems.prefix(50))
            )
        }
    }

    /// Reads how many entries a page has at most into `limit`; returns what is wrong with it.
    public static func read(_ value: Substring, into limit: inout Int, within limits: ClosedRange<Int>) -> String? {
        // Only digits: Swift reads "+5" as well.
        let number = value.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(value) : nil
        guard let number, limits.contains(number) else {
            return "has to be a whole number from \(limits.lowerBound) to \(limits.upperBound)"
        }
        limit = number
        return nil
    }
}

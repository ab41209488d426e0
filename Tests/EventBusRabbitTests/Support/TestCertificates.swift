import EventBus
import Glibc
import Testing

/// Certificates for one test run: an authority, a server's certificate for `localhost`, an expired one, a client's, and
/// an unknown authority.
struct TestCertificates: Sendable {
    var directory: String

    var ca: String { "\(directory)/ca.pem" }
    var otherCA: String { "\(directory)/other.pem" }
    func certificate(_ name: String) -> String { "\(directory)/\(name).pem" }
    func key(_ name: String) -> String { "\(directory)/\(name).key" }

    static func make() async throws -> TestCertificates {
        // Nobody else can have made the folder before.
        var template = Array("/tmp/eventbus-tls.XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        let script = """
            set -e
            cd \(directory)
            authority() {
                openssl req -x509 -newkey rsa:2048 -nodes -keyout $1.key -out $1.pem -days 2 -subj "/CN=$2"
            }
            certificate() { # name, subject, extra arguments
                openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "/CN=$2"
                printf 'subjectAltName=DNS:%s\\n' "$2" > $1.ext
                openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -extfile $1.ext $3 $4
                chmod 644 $1.key
            }
            authority ca "test authority"
            authority other "another authority"
            certificate server localhost -days 2
            certificate elsewhere broker.example -days 2
            certificate client guest -days 2
            certificate expired localhost -days 2
            # OpenSSL 3.5 signs nothing that ends before it starts, and only this command takes both dates in older ones.
            mkdir issued
            : > issued/index
            echo 01 > issued/serial
            cat > ca.cnf <<'CONFIG'
            [ca]
            default_ca = authority
            [authority]
            new_certs_dir = issued
            database = issued/index
            serial = issued/serial
            default_md = sha256
            policy = names
            [names]
            commonName = supplied
            CONFIG
            openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in expired.csr -out expired.pem \\
                -startdate 20200101000000Z -enddate 20200102000000Z -extfile expired.ext
            """
        let file = try temporaryFile(containing: script)
        _ = try await run("bash", [file])
        return TestCertificates(directory: directory)
    }
}

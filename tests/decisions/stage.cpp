// SPDX-License-Identifier: Apache-2.0
#include "tests/decisions/stage.h"

#include <stdexcept>

#include "certs/certificate.h"
#include "certs/facts.h"
#include "policy/identity.h"
#include "registry/schema.h"

namespace leafgate::test {
namespace {

// A certificate whose common name holds a NUL, from the unit tests of certs/.
constexpr const char* kUnreadable = "tests/data/certificates/cn-nul.der";

policy::CertFacts facts_in(const std::string& path) {
  const auto certificates = certs::load_certificates(path);
  if (!certificates) throw std::runtime_error(certificates.error().message);
  return certs::read_facts(*certificates.value().front(), certs::SanWanted::kAll);
}

}  // namespace

CertFiles Stage::certificate(const Case& c) {
  switch (c.presents) {
    case Presents::kNothing:
      return {};
    case Presents::kUnreadable:
      return {kUnreadable, "", policy::to_hex(facts_in(kUnreadable).fingerprint)};
    case Presents::kCertificate:
      break;
  }
  if (c.certificate.digest != "md5") return pki_.issue(c.certificate);
  if (!rsa_pki_) rsa_pki_.emplace("RSA test CA", "rsa:2048");
  return rsa_pki_->issue(c.certificate);
}

CertFiles Stage::other_device(const CertSpec& spec) {
  auto files = pki_.issue(spec);
  redis_.cli({"HSET", "leafgate:cert:" + files.fingerprint, "state", "active"});
  return files;
}

void Stage::write(const Case& c, const CertFiles& certificate) {
  if (c.record && !certificate.fingerprint.empty()) {
    std::vector<std::string> fields;
    for (const auto& [field, value] : *c.record)
      fields.insert(fields.end(), {field, value});
    put("cert:" + certificate.fingerprint, fields);
  }
  if (!c.device_block && !c.issuer_block) return;
  const auto facts = facts_in(certificate.certificate);
  if (c.device_block) {
    put_block("block:device:" + policy::device_id(facts, rules_of(c)).value(), *c.device_block);
  }
  if (c.issuer_block) {
    const auto& id = c.issuer_block->by_name ? facts.issuer_name_id : facts.issuer_key_id;
    put_block("block:issuer:" + id, *c.issuer_block);
  }
}

void Stage::put_block(const std::string& key, const BlockFields& block) {
  std::vector<std::string> fields = {"note", "corpus"};
  if (block.before) fields.insert(fields.end(), {"before", *block.before});
  put(key, fields);
}

void Stage::put(const std::string& key, const std::vector<std::string>& fields) {
  std::vector<std::string> command = {"HSET", "leafgate:" + key};
  command.insert(command.end(), fields.begin(), fields.end());
  const auto said = redis_.cli(command);
  if (said.find("ERR") != std::string::npos) throw std::runtime_error(key + ": " + said);
  written_.push_back("leafgate:" + key);
}

void Stage::clear() {
  for (const auto& key : written_)
    redis_.cli({"DEL", key});
  written_.clear();
}

std::string Stage::yaml(const Case& c) const {
  return "broker: gateway-1\nregistry: {url: '" + redis_.url() + "'}\n" + c.rules;
}

}  // namespace leafgate::test

// conv_unit: exp(i (alpha XX + beta YY + gamma ZZ)) by three CNOTs; weights: gamma, alpha, beta.
// Source: Vatan and Williams, quant-ph/0308006
// Options: sign=plus
// Qubits (q[0] is the least significant): data q[0], q[1]; ancilla none
// Parameters in radians, as declared: 3 weights w_..., 0 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] w_0000;
input float[64] w_0001;
input float[64] w_0002;
qubit[2] q;
rz(-pi/2) q[0];
cx q[0], q[1];
rz(pi/2 - 2*w_0000) q[1];
ry(-pi/2 + 2*w_0001) q[0];
cx q[1], q[0];
ry(pi/2 - 2*w_0002) q[0];
cx q[0], q[1];
rz(pi/2) q[1];
